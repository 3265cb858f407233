//! Opening the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

use crate::container::ContainerEntry;
use crate::disk::{Disk, File};
use crate::error::StoreError;
use crate::sandbox::SandboxEntry;
use crate::table::{Record, Table};
use crate::writer::Writer;

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
    /// The file is in use, damaged, or from a newer release.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open_on(Box::new(File::open(path)?))
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn open_on(disk: Box<dyn Disk>) -> Result<Store, StoreError> {
        let sandboxes = load::<SandboxEntry>(&*disk)?;
        let containers = load::<ContainerEntry>(&*disk)?;
        let (sender, requests) = mpsc::channel();
        let writer = Writer::new(disk);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(requests))
            .map_err(|e| StoreError::Write(format!("start the writer: {e}")))?;
        Ok(Store { sandboxes: Table::new(sandboxes, sender.clone()), containers: Table::new(containers, sender) })
    }
}

fn load<T: Record>(disk: &dyn Disk) -> Result<BTreeMap<String, Arc<T>>, StoreError> {
    // One record that cannot be read must not keep the others' pods from being served. It stays in the file for whoever
    // can read it; its pod gets no network any more, because no lease is known, and nothing of it is shown.
    let decode = |(id, bytes): (String, Vec<u8>)| match serde_json::from_slice(&bytes) {
        Ok(record) => Some((id, Arc::new(record))),
        Err(error) => {
            tracing::error!(table = T::TABLE, id, %error, "a stored record cannot be read and is passed over");
            None
        }
    };
    Ok(disk.load(T::TABLE)?.into_iter().filter_map(decode).collect())
}
