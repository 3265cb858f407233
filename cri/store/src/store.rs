//! Opening the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::writer::Writer;
use crate::{ContainerEntry, Record, SandboxEntry, Table};

/// Version of the records' form. Raised when an older daemon could not read what this one writes.
const SCHEMA: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened (or another daemon has it open).
    #[error("state {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// Written by a newer release.
    #[error("state {path} has schema {found}, this release knows {SCHEMA}: a newer cofferdam wrote it")]
    Schema {
        /// The file.
        path: String,
        /// Its version.
        found: u64,
    },
    /// A record cannot be read: names table and id.
    #[error("state record {table}/{id}: {reason}")]
    Record {
        /// Table.
        table: &'static str,
        /// Key.
        id: String,
        /// The cause.
        reason: String,
    },
    /// A commit failed (disk full, I/O error).
    #[error("the state could not be written: {0}")]
    Write(String),
    /// A record could not be encoded.
    #[error("encode: {0}")]
    Encode(#[from] serde_json::Error),
    /// The writer has ended: the daemon is shutting down.
    #[error("the state is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn write(error: impl std::fmt::Display) -> Self {
        StoreError::Write(error.to_string())
    }
}

/// The daemon's durable state.
pub struct Store {
    /// Pod sandboxes.
    pub sandboxes: Table<SandboxEntry>,
    /// Containers.
    pub containers: Table<ContainerEntry>,
}

impl Store {
    /// Opens or creates the store in a file, reads all of it, and starts the writer.
    ///
    /// # Errors
    /// The file is in use, damaged, from a newer release, or holds a record that cannot be read.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let failed = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
        let db = Database::create(path).map_err(|e| failed(e.to_string()))?;
        check_schema(&db, path).map_err(|e| match e {
            StoreError::Write(reason) => failed(reason),
            other => other,
        })?;
        let sandboxes = load::<SandboxEntry>(&db)?;
        let containers = load::<ContainerEntry>(&db)?;
        let (sender, requests) = mpsc::channel();
        let writer = Writer::new(path.to_owned(), db);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(requests))
            .map_err(|e| failed(e.to_string()))?;
        Ok(Store { sandboxes: Table::new(sandboxes, sender.clone()), containers: Table::new(containers, sender) })
    }
}

fn check_schema(db: &Database, path: &Path) -> Result<(), StoreError> {
    let transaction = db.begin_write().map_err(StoreError::write)?;
    {
        let mut meta = transaction.open_table(META).map_err(StoreError::write)?;
        let found = meta.get("schema").map_err(StoreError::write)?.map(|v| v.value());
        match found {
            Some(found) if found > SCHEMA => {
                return Err(StoreError::Schema { path: path.display().to_string(), found });
            }
            Some(_) => {}
            None => {
                meta.insert("schema", SCHEMA).map_err(StoreError::write)?;
            }
        }
    }
    transaction.commit().map_err(StoreError::write)
}

fn load<T: Record>(db: &Database) -> Result<BTreeMap<String, Arc<T>>, StoreError> {
    let bad = |id: &str, reason: String| StoreError::Record { table: T::TABLE, id: id.to_owned(), reason };
    let definition: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(T::TABLE);
    let transaction = db.begin_read().map_err(|e| bad("", e.to_string()))?;
    let table = match transaction.open_table(definition) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        Err(error) => return Err(bad("", error.to_string())),
    };
    let mut records = BTreeMap::new();
    for row in table.iter().map_err(|e| bad("", e.to_string()))? {
        let (id, bytes) = row.map_err(|e| bad("", e.to_string()))?;
        let record = serde_json::from_slice(bytes.value()).map_err(|e| bad(id.value(), e.to_string()))?;
        records.insert(id.value().to_owned(), Arc::new(record));
    }
    Ok(records)
}
