//! The writer thread: gathers changes, commits them durably in one transaction, then publishes them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::{Database, Durability, TableDefinition};

use crate::StoreError;

/// Publishes a change, or tells its caller why it was not made.
pub(crate) type Publish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change worked out against the newest state: `bytes` is `None` for a removal.
pub(crate) struct Change {
    pub table: &'static str,
    pub id: String,
    pub bytes: Option<Vec<u8>>,
    pub publish: Publish,
}

/// Looks up what this batch has already changed: outer `None` is "not in this batch".
pub(crate) type Pending<'a> = &'a dyn Fn(&str, &str) -> Option<Option<Vec<u8>>>;
type Prepare = Box<dyn FnOnce(Pending<'_>) -> Result<Change, StoreError> + Send>;

/// A request to the writer.
pub(crate) struct Write {
    pub prepare: Prepare,
    pub must_be_durable: bool,
}

/// Most changes in one transaction: bounds the latency of the first.
const BATCH: usize = 256;
/// How often changes that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(1);

type Key = (&'static str, String);

pub(crate) struct Writer {
    path: PathBuf,
    db: Option<Database>,
    /// Published, but not durable yet.
    dirty: BTreeMap<Key, Option<Vec<u8>>>,
}

impl Writer {
    pub fn new(path: PathBuf, db: Database) -> Self {
        Writer { path, db: Some(db), dirty: BTreeMap::new() }
    }

    /// Runs until every sender is gone.
    pub fn run(mut self, requests: Receiver<Write>) {
        loop {
            let first = if self.dirty.is_empty() {
                requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                requests.recv_timeout(RETRY)
            };
            match first {
                Ok(first) => {
                    let more = requests.try_iter().take(BATCH - 1);
                    let batch: Vec<Write> = std::iter::once(first).chain(more).collect();
                    self.write(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.write(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write(Vec::new());
                    return;
                }
            }
        }
    }

    fn write(&mut self, batch: Vec<Write>) {
        let mut rows: BTreeMap<Key, Option<Vec<u8>>> = BTreeMap::new();
        let mut changes = Vec::new();
        for write in batch {
            let must_be_durable = write.must_be_durable;
            let pending =
                |table: &str, id: &str| rows.iter().find(|((t, i), _)| *t == table && i == id).map(|(_, b)| b.clone());
            match (write.prepare)(&pending) {
                Ok(change) => {
                    rows.insert((change.table, change.id.clone()), change.bytes.clone());
                    changes.push((must_be_durable, change));
                }
                // The callback is lost with the request, so its caller sees `Closed`; say here what it was.
                Err(error) => tracing::error!(%error, "a record could not be encoded"),
            }
        }
        let mut all = self.dirty.clone();
        all.extend(rows);
        match self.commit(&all) {
            Ok(()) => {
                self.dirty.clear();
                changes.into_iter().for_each(|(_, change)| (change.publish)(Ok(())));
            }
            Err(error) => self.publish_undurable(changes, &error),
        }
    }

    /// After a failed commit: changes that may wait are published and kept dirty, the others fail.
    fn publish_undurable(&mut self, changes: Vec<(bool, Change)>, error: &StoreError) {
        tracing::error!(%error, path = %self.path.display(), "the state could not be written");
        for (must_be_durable, change) in changes {
            if must_be_durable {
                (change.publish)(Err(StoreError::Write(error.to_string())));
            } else {
                self.dirty.insert((change.table, change.id), change.bytes);
                (change.publish)(Ok(()));
            }
        }
    }

    fn commit(&mut self, rows: &BTreeMap<Key, Option<Vec<u8>>>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        // After an I/O error redb wants to be opened anew.
        if self.db.is_none() {
            self.db = Some(Database::open(&self.path).map_err(StoreError::write)?);
        }
        let result = self.db.as_ref().map_or(Err(StoreError::Closed), |db| commit(db, rows));
        if result.is_err() {
            self.db = None;
        }
        result
    }
}

fn commit(db: &Database, rows: &BTreeMap<Key, Option<Vec<u8>>>) -> Result<(), StoreError> {
    let mut transaction = db.begin_write().map_err(StoreError::write)?;
    transaction.set_durability(Durability::Immediate).map_err(StoreError::write)?;
    for ((table, id), bytes) in rows {
        let definition: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
        let mut table = transaction.open_table(definition).map_err(StoreError::write)?;
        match bytes {
            Some(bytes) => table.insert(id.as_str(), bytes.as_slice()).map_err(StoreError::write)?,
            None => table.remove(id.as_str()).map_err(StoreError::write)?,
        };
    }
    transaction.commit().map_err(StoreError::write)
}
