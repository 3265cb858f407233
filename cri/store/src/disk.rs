//! Where the records are kept: a redb file.

use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::error::StoreError;

/// Version of the records' form. Raised when an older daemon could not read what this one writes.
const SCHEMA: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Changed rows by table and id: the encoded record, or `None` for a removal.
pub type Rows = BTreeMap<(&'static str, String), Option<Vec<u8>>>;

/// Keeps rows durably. Tests put one in front of [`File`] that fails.
pub trait Disk: Send {
    /// All rows of a table: id and encoded record.
    ///
    /// # Errors
    /// The table cannot be read.
    fn load(&self, table: &'static str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Makes all rows durable, or none.
    ///
    /// # Errors
    /// They could not be written; the next call may succeed.
    fn commit(&mut self, rows: &Rows) -> Result<(), StoreError>;
}

/// A redb file, locked for this process.
pub struct File {
    path: PathBuf,
    /// `None` after an I/O error: redb wants to be opened anew.
    db: Option<Database>,
}

impl File {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// It is in use, damaged, or from a newer release.
    pub fn open(path: &Path) -> Result<File, StoreError> {
        let failed = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
        private(path).map_err(|e| failed(e.to_string()))?;
        let db = Database::create(path).map_err(|e| failed(e.to_string()))?;
        check_schema(&db, path).map_err(|e| match e {
            StoreError::Write(reason) => failed(reason),
            other => other,
        })?;
        Ok(File { path: path.to_owned(), db: Some(db) })
    }
}

impl Disk for File {
    fn load(&self, table: &'static str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let bad =
            |error: &dyn std::fmt::Display| StoreError::Record { table, id: String::new(), reason: error.to_string() };
        let db = self.db.as_ref().ok_or(StoreError::Closed)?;
        let definition: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
        let transaction = db.begin_read().map_err(|e| bad(&e))?;
        let rows = match transaction.open_table(definition) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(bad(&error)),
        };
        let row = |row: Result<_, redb::StorageError>| {
            let (id, bytes): (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>) = row.map_err(|e| bad(&e))?;
            Ok((id.value().to_owned(), bytes.value().to_owned()))
        };
        rows.iter().map_err(|e| bad(&e))?.map(row).collect()
    }

    fn commit(&mut self, rows: &Rows) -> Result<(), StoreError> {
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

/// Makes the file if there is none, and in any case readable for its owner only: records hold what pods are told, such
/// as passwords in their environment.
fn private(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

fn check_schema(db: &Database, path: &Path) -> Result<(), StoreError> {
    let transaction = db.begin_write().map_err(StoreError::write)?;
    {
        let mut meta = transaction.open_table(META).map_err(StoreError::write)?;
        let found = meta.get("schema").map_err(StoreError::write)?.map(|v| v.value());
        match found {
            Some(found) if found > SCHEMA => {
                return Err(StoreError::Schema { path: path.display().to_string(), found, known: SCHEMA });
            }
            Some(_) => {}
            None => {
                meta.insert("schema", SCHEMA).map_err(StoreError::write)?;
            }
        }
    }
    transaction.commit().map_err(StoreError::write)
}

fn commit(db: &Database, rows: &Rows) -> Result<(), StoreError> {
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
