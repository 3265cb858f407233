//! What is on disk, and what of it is in use.
//!
//! The one owner of the root directory. `images.json` changes only in `commit`; a layer enters by `publish` and leaves
//! by `sweep`, which takes what no image, no snapshot and no running pull (`hold`) names. Readers see memory only.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cofferdam_tree::Trash;
use oci_spec::image::ImageConfiguration;

use super::metadata::{ImageRecord, Metadata};
use super::parents::{Layer, Stack};
use super::snapshot::Snapshot;
use super::usage::Usage;
use crate::{ImageError, files, manifest, names};

/// How long a torn download waits to be resumed.
const KEEP_INGEST: Duration = Duration::from_secs(24 * 3600);

/// The store.
pub(crate) struct Store {
    root: PathBuf,
    writer: Mutex<()>,
    state: Mutex<State>,
    trash: Trash,
}

/// In memory.
#[derive(Default)]
pub(crate) struct State {
    pub metadata: Arc<Metadata>,
    pub configs: HashMap<String, Arc<ImageConfiguration>>,
    /// By hex of the diff id.
    pub layers: HashMap<String, Usage>,
    pub snapshots: HashMap<String, Snapshot>,
    held: HashMap<String, usize>,
}

impl Store {
    /// Opens the store and removes what a kill has left behind.
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        for dir in ["blobs", "implied", "ingest", "layers", "snapshots", "empty"] {
            let path = root.join(dir);
            std::fs::create_dir_all(&path).map_err(|e| ImageError::io(path.display(), e))?;
        }
        forbid_users(root).map_err(|e| ImageError::io(root.display(), e))?;
        let trash = Trash::new(root.join("trash"));
        let store = Store { root: root.to_owned(), writer: Mutex::default(), state: Mutex::default(), trash };
        let mut metadata = Metadata::load(&store.metadata_file())?;
        let failed = |e| ImageError::io(format!("open {}", root.display()), e);
        let on_disk: HashSet<String> = files::names(&root.join("layers")).map_err(failed)?.into_iter().collect();
        let configs = store.complete(&mut metadata, &on_disk)?;
        {
            let mut state = store.lock();
            state.layers = on_disk
                .iter()
                .map(|key| (key.clone(), metadata.layers.get(key).copied().unwrap_or_default()))
                .collect();
            state.snapshots = Snapshot::load_all(root, &store.trash).map_err(failed)?;
            state.configs = configs;
            state.metadata = Arc::new(metadata);
        }
        store.tidy().map_err(failed)?;
        store.sweep()?;
        store.trash.empty().map_err(failed)?;
        Ok(store)
    }

    /// Drops images whose config or layers are gone: they can be pulled again, but not run.
    fn complete(
        &self,
        metadata: &mut Metadata,
        on_disk: &HashSet<String>,
    ) -> Result<HashMap<String, Arc<ImageConfiguration>>, ImageError> {
        let mut configs = HashMap::new();
        let mut lost = Vec::new();
        for (id, image) in &metadata.images {
            let whole = image.layers.iter().all(|d| names::hex_of(d).is_ok_and(|hex| on_disk.contains(hex)))
                && image.parents.iter().all(|key| on_disk.contains(key));
            let config = std::fs::read(self.blob(names::hex_of(id)?)).ok().filter(|bytes| names::sha256(bytes) == *id);
            match config.and_then(|bytes| manifest::read_config(&bytes).ok()).filter(|_| whole) {
                Some(config) => drop(configs.insert(id.clone(), Arc::new(config))),
                None => lost.push(id.clone()),
            }
        }
        for id in &lost {
            tracing::warn!(image = %id, "parts of the image are gone from the disk: it is forgotten");
            metadata.remove(id);
        }
        if !lost.is_empty() {
            metadata.save(&self.metadata_file())?;
        }
        Ok(configs)
    }

    /// Removes half-made and half-removed files.
    fn tidy(&self) -> std::io::Result<()> {
        for dir in ["layers", "snapshots"] {
            for name in files::names(&self.root.join(dir))? {
                if name.starts_with('.') {
                    self.lock().layers.remove(&name);
                    self.trash.discard(&self.root.join(dir).join(name))?;
                }
            }
        }
        let known: HashSet<String> =
            self.lock().configs.keys().filter_map(|id| names::hex_of(id).ok()).map(str::to_owned).collect();
        for name in files::names(&self.root.join("blobs"))? {
            if !known.contains(&name) {
                files::remove_file(&self.root.join("blobs").join(name))?;
            }
        }
        for name in files::names(&self.root.join("implied"))? {
            if !self.lock().layers.contains_key(&name) {
                files::remove_file(&self.root.join("implied").join(name))?;
            }
        }
        for name in files::names(&self.root.join("ingest"))? {
            let path = self.root.join("ingest").join(name);
            let age =
                path.metadata().and_then(|m| m.modified()).ok().and_then(|t| SystemTime::now().duration_since(t).ok());
            if age.is_none_or(|age| age > KEEP_INGEST) {
                files::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The state. Never held across a wait or a slow operation.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes `images.json`: on disk first, then in memory. Blocking.
    pub fn commit(&self, change: impl FnOnce(&mut Metadata)) -> Result<(), ImageError> {
        let _one = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metadata = (*self.lock().metadata).clone();
        change(&mut metadata);
        metadata.save(&self.metadata_file())?;
        self.lock().metadata = Arc::new(metadata);
        Ok(())
    }

    /// Writes an image down. Its layers are on the disk before anything names them. Blocking.
    pub fn record(
        self: &Arc<Self>,
        mut image: ImageRecord,
        bytes: &[u8],
        config: ImageConfiguration,
        mut layers: Vec<(String, Usage)>,
    ) -> Result<(), ImageError> {
        let key = parents_key(&image.layers);
        let _hold = self.hold(vec![key.clone()]);
        if let Some(usage) = self.parents(&key, &image.layers)? {
            image.parents = Some(key.clone());
            layers.push((key, usage));
        }
        let path = self.blob(names::hex_of(&image.id)?);
        files::replace(&path, bytes).map_err(|e| ImageError::io(format!("write {}", path.display()), e))?;
        self.sync()?;
        self.lock().configs.insert(image.id.clone(), Arc::new(config));
        self.commit(|metadata| metadata.put(image, layers))
    }

    /// Makes the layer that gives directories the owners of lower layers, if one is needed.
    fn parents(&self, key: &str, diff_ids: &[String]) -> Result<Option<Usage>, ImageError> {
        if let Some(usage) = self.layer(key) {
            return Ok(Some(usage));
        }
        let failed = |e| ImageError::io("open the layers of an image", e);
        let open = |id: &String| {
            let key = names::hex_of(id)?;
            Layer::open(&self.layer_dir(key), &self.implied(key)).map_err(failed)
        };
        // A layer that is named again covers itself.
        let mut seen = HashSet::new();
        let layers = diff_ids.iter().rev().filter(|id| seen.insert(*id)).map(open).collect::<Result<Vec<_>, _>>()?;
        let dir = self.root.join("layers").join(format!(".new-{key}-{:?}", std::thread::current().id()));
        std::fs::create_dir(&dir).map_err(failed)?;
        let made = Stack::new(layers).fill(&dir);
        let done = match &made {
            Ok(Some(usage)) => self.publish(&dir, key, *usage),
            _ => cofferdam_tree::remove(&dir),
        };
        done.map_err(|e| ImageError::io("put a layer in place", e))?;
        made
    }

    /// Notes which directories of a layer have no entry, before it is in its place.
    pub fn note_implied(&self, key: &str, implied: &[Vec<u8>]) -> std::io::Result<()> {
        match implied.is_empty() {
            true => Ok(()),
            false => files::replace(&self.implied(key), &serde_json::to_vec(implied)?),
        }
    }

    fn implied(&self, key: &str) -> PathBuf {
        self.root.join("implied").join(key)
    }

    /// Makes all layers durable. Blocking.
    fn sync(&self) -> Result<(), ImageError> {
        let path = self.root.join("layers");
        let dir = std::fs::File::open(&path).map_err(|e| ImageError::io(path.display(), e))?;
        rustix::fs::syncfs(&dir).map_err(|e| ImageError::io("sync layers", e.into()))
    }

    /// Keeps layers and configs, there or not yet there, from being swept.
    pub fn hold(self: &Arc<Self>, keys: Vec<String>) -> Hold {
        let mut state = self.lock();
        for key in &keys {
            *state.held.entry(key.clone()).or_default() += 1;
        }
        Hold { store: self.clone(), keys }
    }

    /// What a layer takes, if it is there.
    pub fn layer(&self, key: &str) -> Option<Usage> {
        self.lock().layers.get(key).copied()
    }

    /// Moves an unpacked layer into its place. If somebody else was faster, that one stays.
    pub fn publish(&self, from: &Path, key: &str, usage: Usage) -> std::io::Result<()> {
        let mut state = self.lock();
        if !state.layers.contains_key(key) {
            std::fs::rename(from, self.layer_dir(key))?;
            state.layers.insert(key.to_owned(), usage);
            return Ok(());
        }
        drop(state);
        self.trash.discard(from)
    }

    /// Removes layers and configs that nobody names. Blocking, but the files of layers go later.
    pub fn sweep(&self) -> Result<(), ImageError> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut used = state.metadata.used_layers();
        used.extend(state.snapshots.values().flat_map(|s| s.layers.iter().cloned()));
        used.extend(state.held.keys().cloned());
        let gone: Vec<String> = state.layers.keys().filter(|key| !used.contains(*key)).cloned().collect();
        for key in gone {
            self.trash.discard(&self.layer_dir(&key)).map_err(|e| ImageError::io("remove a layer", e))?;
            files::remove_file(&self.implied(&key)).map_err(|e| ImageError::io("remove a layer", e))?;
            state.layers.remove(&key);
        }
        let unused = |id: &String| !state.metadata.images.contains_key(id) && !state.held.contains_key(id);
        let gone: Vec<String> = state.configs.keys().filter(|id| unused(id)).cloned().collect();
        for id in gone {
            files::remove_file(&self.blob(names::hex_of(&id)?)).map_err(|e| ImageError::io("remove a config", e))?;
            state.configs.remove(&id);
        }
        Ok(())
    }

    /// Where trees go that nobody names any more.
    pub fn trash(&self) -> &Trash {
        &self.trash
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn blob(&self, hex: &str) -> PathBuf {
        self.root.join("blobs").join(hex)
    }

    pub fn ingest(&self, hex: &str) -> PathBuf {
        self.root.join("ingest").join(hex)
    }

    pub fn layer_dir(&self, key: &str) -> PathBuf {
        self.root.join("layers").join(key)
    }

    fn metadata_file(&self) -> PathBuf {
        self.root.join("images.json")
    }
}

/// No layer's digest: those are of tars.
fn parents_key(diff_ids: &[String]) -> String {
    let text = format!("directories of lower layers\n{}", diff_ids.join("\n"));
    names::sha256(text.as_bytes()).trim_start_matches("sha256:").to_owned()
}

/// Layers hold setuid programs: no user of the node may reach them.
fn forbid_users(root: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(root.join("layers"), std::fs::Permissions::from_mode(0o700))?;
    std::fs::set_permissions(root.join("snapshots"), std::fs::Permissions::from_mode(0o700))
}

/// Keeps what it names until it is dropped.
pub(crate) struct Hold {
    store: Arc<Store>,
    keys: Vec<String>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        for key in &self.keys {
            if let Some(count) = state.held.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(key);
                }
            }
        }
    }
}
