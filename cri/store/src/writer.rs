//! The writer thread: gathers changes, commits them durably in one transaction, then publishes them.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::disk::{Disk, Rows};
use crate::error::StoreError;

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

pub(crate) struct Writer {
    disk: Box<dyn Disk>,
    /// Published, but not durable yet.
    dirty: Rows,
}

impl Writer {
    pub fn new(disk: Box<dyn Disk>) -> Self {
        Writer { disk, dirty: Rows::new() }
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
        let mut rows = Rows::new();
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
        let committed = if all.is_empty() { Ok(()) } else { self.disk.commit(&all) };
        match committed {
            Ok(()) => {
                self.dirty.clear();
                changes.into_iter().for_each(|(_, change)| (change.publish)(Ok(())));
            }
            Err(error) => self.publish_undurable(changes, &error),
        }
    }

    /// After a failed commit: changes that may wait are published and kept dirty, the others fail.
    fn publish_undurable(&mut self, changes: Vec<(bool, Change)>, error: &StoreError) {
        tracing::error!(%error, "the state could not be written");
        for (must_be_durable, change) in changes {
            if must_be_durable {
                (change.publish)(Err(StoreError::Write(error.to_string())));
            } else {
                self.dirty.insert((change.table, change.id), change.bytes);
                (change.publish)(Ok(()));
            }
        }
    }
}
