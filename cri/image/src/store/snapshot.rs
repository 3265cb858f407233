//! A container's writable layer, as the store knows it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::usage::Usage;
use crate::files;

/// A writable layer in memory.
pub(crate) struct Snapshot {
    /// Hex of the diff ids, top first, each once.
    pub layers: Vec<String>,
    /// What its files take, when they were measured last.
    pub usage: Usage,
    measured: Option<Instant>,
}

/// Measuring walks the files.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
const EMPTY: Usage = Usage { bytes: 4096, inodes: 1 };

impl Snapshot {
    /// One that is empty.
    pub fn new(layers: Vec<String>) -> Self {
        Snapshot { layers, usage: EMPTY, measured: Some(Instant::now()) }
    }

    /// Those on disk. One that was never handed out is removed.
    pub fn load_all(root: &Path) -> std::io::Result<HashMap<String, Snapshot>> {
        let mut found = HashMap::new();
        let dir = root.join("snapshots");
        for name in files::names(&dir)?.into_iter().filter(|name| !name.starts_with('.')) {
            let layers =
                std::fs::read(dir.join(&name).join("layers.json")).ok().and_then(|b| serde_json::from_slice(&b).ok());
            match layers {
                Some(layers) => drop(found.insert(name, Snapshot { layers, usage: EMPTY, measured: None })),
                None => files::remove_tree(&dir.join(&name))?,
            }
        }
        Ok(found)
    }

    /// It was not measured lately.
    pub fn is_stale(&self) -> bool {
        self.measured.is_none_or(|at| at.elapsed() > MEASURE_EVERY)
    }

    /// Notes what its files take now.
    pub fn measured(&mut self, usage: Usage) {
        (self.usage, self.measured) = (usage, Some(Instant::now()));
    }
}
