//! A container's writable layer, as the store knows it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use cofferdam_tree::{Seen, Trash};

use super::usage::Usage;
use crate::files;

/// A writable layer in memory.
pub(crate) struct Snapshot {
    /// Hex of the diff ids, top first, each once.
    pub layers: Vec<String>,
    /// What its files take, when they were measured last.
    pub usage: Usage,
    /// When it is worth measuring again.
    due: Option<Instant>,
}

/// Measuring walks the files.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// A large layer is measured more seldom: it takes a tenth of a thread's time at most.
const SHARE: u32 = 9;
const EMPTY: Usage = Usage { bytes: 4096, inodes: 1 };

impl Snapshot {
    /// One that is empty.
    pub fn new(layers: Vec<String>) -> Self {
        Snapshot { layers, usage: EMPTY, due: Some(Instant::now() + MEASURE_EVERY) }
    }

    /// Those on disk. One that was never handed out goes to the trash.
    pub fn load_all(root: &Path, trash: &Trash) -> std::io::Result<HashMap<String, Snapshot>> {
        let mut found = HashMap::new();
        let dir = root.join("snapshots");
        for name in files::names(&dir)?.into_iter().filter(|name| !name.starts_with('.')) {
            let layers =
                std::fs::read(dir.join(&name).join("layers.json")).ok().and_then(|b| serde_json::from_slice(&b).ok());
            match layers {
                Some(layers) => drop(found.insert(name, Snapshot { layers, usage: EMPTY, due: None })),
                None => trash.discard(&dir.join(&name))?,
            }
        }
        Ok(found)
    }

    /// It was not measured lately.
    pub fn is_stale(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// Notes what its files take now. Who moves directories about to be measured less gains nothing: a part counts only
    /// if it is more than what was known.
    pub fn measured(&mut self, (usage, seen): (Usage, Seen), took: Duration) {
        self.usage = match seen {
            Seen::Whole => usage,
            Seen::Torn => {
                Usage { bytes: usage.bytes.max(self.usage.bytes), inodes: usage.inodes.max(self.usage.inodes) }
            }
        };
        self.due = Some(Instant::now() + MEASURE_EVERY.max(took.saturating_mul(SHARE)));
    }
}
