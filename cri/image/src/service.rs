//! The public face. Everything that only reads answers from memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oci_spec::image::ImageConfiguration;

use crate::archive::{self, Loaded};
use crate::flights::Flights;
use crate::layer::Workshop;
use crate::pull::{PulledImage, Puller, pull};
use crate::registry::Auth;
use crate::rootfs::{self, Rootfs};
use crate::store::{ImageRecord, Metadata, Store, Usage};
use crate::unpack::{Helper, Limits};
use crate::{ImageError, names};

/// Settings.
#[derive(Debug, Clone)]
pub struct ImageConfig {
    /// Where everything is kept; one daemon at a time.
    pub root: PathBuf,
    /// Directory with `HOST/hosts.toml`.
    pub registry_config_path: PathBuf,
    /// The program that unpacks.
    pub helper: Helper,
    /// What a layer may need.
    pub limits: Limits,
    /// Longest wait for a registry's answer, and the window over which the rate of its bodies is judged;
    /// [`ImageConfig::STALL_TIMEOUT`] is usual.
    pub stall_timeout: Duration,
    /// References that are never removed, in any form.
    pub pinned: Vec<String>,
}

impl ImageConfig {
    /// The usual patience.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct PullKey {
    reference: String,
    auth: Auth,
}

struct Inner {
    shop: Workshop,
    puller: Arc<Puller>,
    pulls: Flights<PullKey, PulledImage>,
    pinned: Vec<String>,
}

/// Images and writable layers of a node. Cheap to clone.
#[derive(Clone)]
pub struct ImageService(Arc<Inner>);

impl ImageService {
    /// Opens the store and removes what a kill has left behind. Blocking.
    ///
    /// # Errors
    /// The root is not usable, `images.json` is not readable, or a pinned reference is none.
    pub fn open(config: ImageConfig) -> Result<Self, ImageError> {
        // One that another part of the process has chosen before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pinned = config.pinned.iter().map(|r| names::parse(r).map(|r| r.whole())).collect::<Result<_, _>>()?;
        let store = Arc::new(Store::open(&config.root)?);
        let shop = Workshop { store, helper: config.helper.clone(), limits: config.limits };
        let puller = Arc::new(Puller::new(shop.clone(), config.registry_config_path, config.stall_timeout));
        Ok(ImageService(Arc::new(Inner { shop, puller, pulls: Flights::default(), pinned })))
    }

    /// Pulls an image on nobody's account. Equal pulls share one download, which ends when all callers give up; what
    /// was fetched by then is where the next one begins.
    ///
    /// # Errors
    /// `Unavailable`: no endpoint answers in time. `NotFound`, `Denied`: the registry says so. `Invalid`: what it gives
    /// is not what the digests say, or no image for this machine.
    pub async fn pull(&self, reference: &str, auth: Option<Auth>) -> Result<PulledImage, ImageError> {
        self.pull_for("", reference, auth).await
    }

    /// The same on the account of a tenant: those who pull at the same time have equal shares of the node.
    ///
    /// # Errors
    /// See [`ImageService::pull`].
    pub async fn pull_for(&self, tenant: &str, reference: &str, auth: Option<Auth>) -> Result<PulledImage, ImageError> {
        let parsed = names::parse(reference)?;
        let auth = auth.unwrap_or_default();
        let key = PullKey { reference: parsed.whole(), auth: auth.clone() };
        let (puller, tenant) = (self.0.puller.clone(), tenant.to_owned());
        let pulled = self.0.pulls.run(key, move || pull(puller, tenant, parsed, auth)).await;
        pulled.map_err(|e| e.context(format!("pull {reference:?}")))
    }

    /// All images, by id.
    pub fn list(&self) -> Vec<ImageRecord> {
        self.metadata().images.values().map(|image| self.with_pin(image)).collect()
    }

    /// An image by id, beginning of an id, or reference; none if there is none.
    ///
    /// # Errors
    /// None so far.
    pub fn status(&self, wanted: &str) -> Result<Option<ImageRecord>, ImageError> {
        Ok(self.metadata().find(wanted).map(|image| self.with_pin(image)))
    }

    /// The id of an image.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn resolve(&self, wanted: &str) -> Result<String, ImageError> {
        self.metadata().find(wanted).map(|image| image.id.clone()).ok_or_else(|| not_found(wanted))
    }

    /// The config of an image, by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn config(&self, id: &str) -> Result<Arc<ImageConfiguration>, ImageError> {
        self.0.shop.store.lock().configs.get(id).cloned().ok_or_else(|| not_found(id))
    }

    /// Removes an image with all its names. One that is not there is a success; containers keep the layers they run on.
    ///
    /// # Errors
    /// `Denied`: it is pinned.
    pub async fn remove(&self, wanted: &str) -> Result<(), ImageError> {
        let Some(image) = self.status(wanted)? else { return Ok(()) };
        if image.pinned {
            return Err(ImageError::Denied(format!("image {wanted:?} is pinned by [images] pinned")));
        }
        self.blocking(move |store| {
            store.commit(|metadata| metadata.remove(&image.id))?;
            store.sweep()
        })
        .await
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: the new name is no reference with a tag.
    pub async fn tag(&self, wanted: &str, name: &str) -> Result<(), ImageError> {
        let tag =
            names::repo_tag(&names::parse(name)?).ok_or_else(|| ImageError::Invalid(format!("{name:?} has no tag")))?;
        let image = self.metadata().find(wanted).cloned().ok_or_else(|| not_found(wanted))?;
        let image = ImageRecord { repo_tags: vec![tag], repo_digests: Vec::new(), ..image };
        self.blocking(move |store| store.commit(|metadata| metadata.put(image, []))).await
    }

    /// Loads every image of an archive (`docker save`, or an OCI layout as tar).
    ///
    /// # Errors
    /// `Invalid`: it is no such archive, or its content is not what its digests say.
    pub async fn load(&self, path: &Path) -> Result<Vec<Loaded>, ImageError> {
        let (inner, path) = (self.0.clone(), path.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            archive::load(&inner.shop, &path).map_err(|e| e.context(format!("load {}", path.display())))
        });
        done.await.map_err(|e| ImageError::Failed(e.to_string()))?
    }

    /// Removes layers that neither an image nor a container uses.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub async fn gc(&self) -> Result<(), ImageError> {
        self.blocking(|store| store.sweep()).await
    }

    /// What images and writable layers take; of the latter, as of some seconds ago.
    ///
    /// # Errors
    /// None so far.
    pub fn fs_usage(&self) -> Result<Usage, ImageError> {
        let store = &self.0.shop.store;
        rootfs::refresh(store);
        let state = store.lock();
        Ok(state.layers.values().copied().chain(state.snapshots.values().map(|s| s.usage)).sum())
    }

    /// What a container's writable layer takes, as of some seconds ago.
    pub fn usage(&self, container: &str) -> Option<Usage> {
        let store = &self.0.shop.store;
        rootfs::refresh(store);
        store.lock().snapshots.get(container).map(|s| s.usage)
    }

    /// Makes a container's writable layer on an image, and keeps the image's layers until `remove_rootfs`. Again with
    /// the same arguments: the same answer.
    ///
    /// # Errors
    /// `NotFound`: no image of that id. `Exhausted`: the disk is full.
    pub async fn prepare_rootfs(&self, container: &str, image_id: &str) -> Result<Rootfs, ImageError> {
        let (container, image_id) = (container.to_owned(), image_id.to_owned());
        self.blocking(move |store| rootfs::prepare(store, &container, &image_id)).await
    }

    /// Removes a container's writable layer, which must not be mounted. One that is not there is a success.
    ///
    /// # Errors
    /// The disk does not do it.
    pub async fn remove_rootfs(&self, container: &str) -> Result<(), ImageError> {
        let container = container.to_owned();
        self.blocking(move |store| rootfs::remove(store, &container)).await
    }

    /// Containers that have a writable layer: recovery removes those of containers that nobody knows.
    pub fn rootfs_containers(&self) -> Vec<String> {
        self.0.shop.store.lock().snapshots.keys().cloned().collect()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Store>) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let store = self.0.shop.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|e| ImageError::Failed(e.to_string()))?
    }

    fn metadata(&self) -> Arc<Metadata> {
        self.0.shop.store.lock().metadata.clone()
    }

    /// Whether an image is pinned is a matter of the configuration, not of what is on disk.
    fn with_pin(&self, image: &ImageRecord) -> ImageRecord {
        let pinned = image.repo_tags.iter().chain(&image.repo_digests).any(|name| self.0.pinned.contains(name));
        ImageRecord { pinned, ..image.clone() }
    }
}

fn not_found(wanted: &str) -> ImageError {
    ImageError::NotFound(format!("image {wanted:?} not found"))
}
