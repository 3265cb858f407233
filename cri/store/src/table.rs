//! One table: the published records, and the way to change one.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::StoreError;
use crate::writer::{Change, Pending, Publish, Write};

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Name of its redb table.
    const TABLE: &'static str;
    /// Its key.
    fn id(&self) -> &str;
}

type Published<T> = Arc<RwLock<BTreeMap<String, Arc<T>>>>;

/// Records of one kind.
pub struct Table<T> {
    published: Published<T>,
    writer: Sender<Write>,
}

impl<T: Record> Table<T> {
    pub(crate) fn new(records: BTreeMap<String, Arc<T>>, writer: Sender<Write>) -> Self {
        Table { published: Arc::new(RwLock::new(records)), writer }
    }

    /// The last published record.
    pub fn get(&self, id: &str) -> Option<Arc<T>> {
        read(&self.published).get(id).cloned()
    }

    /// All records, by id.
    pub fn list(&self) -> Vec<Arc<T>> {
        read(&self.published).values().cloned().collect()
    }

    /// The first record that a predicate holds for.
    pub fn find(&self, mut is: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        read(&self.published).values().find(|record| is(record)).cloned()
    }

    /// Ids that begin with `prefix`, as CLIs let people write them.
    pub fn with_prefix(&self, prefix: &str) -> Vec<Arc<T>> {
        read(&self.published)
            .range(prefix.to_owned()..)
            .take_while(|(id, _)| id.starts_with(prefix))
            .map(|(_, r)| r.clone())
            .collect()
    }

    /// Adds or replaces a record; returns once it is durable.
    pub async fn put(&self, record: T) -> Result<Arc<T>, StoreError> {
        let id = record.id().to_owned();
        self.submit(id, true, move |_| Some(record)).await?.ok_or(StoreError::Closed)
    }

    /// Changes a record; returns once it is durable. `None`: there is no such record.
    pub async fn update(
        &self,
        id: &str,
        change: impl FnOnce(&mut T) + Send + 'static,
    ) -> Result<Option<Arc<T>>, StoreError> {
        self.submit(id.to_owned(), true, apply(change)).await
    }

    /// Changes a record even if it cannot be made durable now (see the crate's header: exits).
    pub async fn update_always(
        &self,
        id: &str,
        change: impl FnOnce(&mut T) + Send + 'static,
    ) -> Result<Option<Arc<T>>, StoreError> {
        self.submit(id.to_owned(), false, apply(change)).await
    }

    /// Removes a record; returns once that is durable. An absent record is a success.
    pub async fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.submit(id.to_owned(), true, |_| None).await.map(|_| ())
    }

    async fn submit(
        &self,
        id: String,
        must_be_durable: bool,
        change: impl FnOnce(Option<&T>) -> Option<T> + Send + 'static,
    ) -> Result<Option<Arc<T>>, StoreError> {
        let published = self.published.clone();
        let (done, answer) = oneshot::channel();
        let prepare = move |pending: Pending<'_>| {
            let current = match pending(T::TABLE, &id) {
                Some(bytes) => bytes.and_then(|b| serde_json::from_slice(&b).ok()).map(Arc::new),
                None => read(&published).get(&id).cloned(),
            };
            let next = change(current.as_deref()).map(Arc::new);
            let bytes = next.as_ref().map(|record| serde_json::to_vec(&**record)).transpose()?;
            let publish: Publish = Box::new({
                let id = id.clone();
                move |result| {
                    let result = result.map(|()| {
                        let mut map = write(&published);
                        match &next {
                            Some(record) => map.insert(id, record.clone()),
                            None => map.remove(&id),
                        };
                        next
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

fn apply<T: Clone>(change: impl FnOnce(&mut T)) -> impl FnOnce(Option<&T>) -> Option<T> {
    move |current| {
        let mut next = current?.clone();
        change(&mut next);
        Some(next)
    }
}

// A poisoned lock means that a reader panicked; the map itself is only replaced whole entries at a time.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}
