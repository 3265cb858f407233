//! One table: the published records, and the way to change one.
//!
//! A [`Table`] is the right to change its records and has one owner; everybody else reads by a [`Reader`].

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::writer::{Change, Pending, Publish, Write};

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Name of its redb table.
    const TABLE: &'static str;
    /// The record's key in it.
    fn id(&self) -> &str;
}

type Published<T> = Arc<RwLock<BTreeMap<String, Arc<T>>>>;

/// The published records of one kind, for reading.
pub struct Reader<T>(Published<T>);

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Reader(self.0.clone())
    }
}

impl<T: Record> Reader<T> {
    /// The last published record.
    pub fn get(&self, id: &str) -> Option<Arc<T>> {
        read(&self.0).get(id).cloned()
    }

    /// All records, ordered by id.
    pub fn list(&self) -> Vec<Arc<T>> {
        read(&self.0).values().cloned().collect()
    }

    /// The first record that a predicate holds for.
    pub fn find(&self, mut is: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        read(&self.0).values().find(|record| is(record)).cloned()
    }

    /// Records whose id begins with `prefix`: CLIs let people write ids like this.
    pub fn with_prefix(&self, prefix: &str) -> Vec<Arc<T>> {
        read(&self.0)
            .range(prefix.to_owned()..)
            .take_while(|(id, _)| id.starts_with(prefix))
            .map(|(_, r)| r.clone())
            .collect()
    }
}

/// Records of one kind, for changing. Reads like a [`Reader`].
pub struct Table<T> {
    published: Reader<T>,
    writer: Sender<Write>,
}

impl<T> std::ops::Deref for Table<T> {
    type Target = Reader<T>;
    fn deref(&self) -> &Reader<T> {
        &self.published
    }
}

impl<T: Record> Table<T> {
    pub(crate) fn new(records: BTreeMap<String, Arc<T>>, writer: Sender<Write>) -> Self {
        Table { published: Reader(Arc::new(RwLock::new(records))), writer }
    }

    /// A view for those who only read.
    pub fn reader(&self) -> Reader<T> {
        self.published.clone()
    }

    /// Adds or replaces a record; returns once it is durable.
    pub async fn put(&self, record: T) -> Result<(), StoreError> {
        let id = record.id().to_owned();
        self.submit(id, true, move |_| (Some(record), ())).await
    }

    /// Changes a record; returns what `change` returned, once the record is durable. `None`: there is no such record.
    pub async fn update<R: Send + 'static>(
        &self,
        id: &str,
        change: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<Option<R>, StoreError> {
        self.submit(id.to_owned(), true, changed(change)).await
    }

    /// Changes a record even if it cannot be made durable now (see the crate's header: exits).
    pub async fn update_always<R: Send + 'static>(
        &self,
        id: &str,
        change: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<Option<R>, StoreError> {
        self.submit(id.to_owned(), false, changed(change)).await
    }

    /// Removes a record; returns once that is durable. An absent record is a success.
    pub async fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.submit(id.to_owned(), true, |_| (None, ())).await
    }

    async fn submit<R: Send + 'static>(
        &self,
        id: String,
        must_be_durable: bool,
        change: impl FnOnce(Option<&T>) -> (Option<T>, R) + Send + 'static,
    ) -> Result<R, StoreError> {
        let published = self.published.0.clone();
        let (done, answer) = oneshot::channel();
        let prepare = move |pending: Pending<'_>| {
            let current = match pending(T::TABLE, &id) {
                Some(bytes) => bytes.and_then(|b| serde_json::from_slice(&b).ok()).map(Arc::new),
                None => read(&published).get(&id).cloned(),
            };
            let (next, outcome) = change(current.as_deref());
            let next = next.map(Arc::new);
            let bytes = next.as_ref().map(|record| serde_json::to_vec(&**record)).transpose()?;
            let publish: Publish = Box::new({
                let id = id.clone();
                move |result| {
                    let result = result.map(|()| {
                        let mut map = write(&published);
                        match next {
                            Some(record) => map.insert(id, record),
                            None => map.remove(&id),
                        };
                        outcome
                    });
                    // The caller may have gone away; the change stands.
                    let _ = done.send(result);
                }
            });
            Ok(Change { table: T::TABLE, id, bytes, publish })
        };
        self.writer.send(Write { prepare: Box::new(prepare), must_be_durable }).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// A change of a record that exists.
fn changed<T: Clone, R>(change: impl FnOnce(&mut T) -> R) -> impl FnOnce(Option<&T>) -> (Option<T>, Option<R>) {
    move |current| {
        let mut next = current.cloned();
        let outcome = next.as_mut().map(change);
        (next, outcome)
    }
}

// A poisoned lock means that a reader panicked; the map itself is only replaced whole entries at a time.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}
