//! PullImage: name -> manifest -> config -> layers side by side -> one durable record.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use oci_spec::distribution::Reference;
use oci_spec::image::ImageConfiguration;

use crate::flights::Flights;
use crate::layer::Workshop;
use crate::manifest::{Descriptor, Document, Manifest, Search};
use crate::registry::{Auth, Repository, Resolved, endpoints};
use crate::slots::{Share, Slots};
use crate::store::{ImageRecord, Metadata, Usage};
use crate::{ImageError, download, manifest, names};

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage {
    /// `sha256:HEX` of the config.
    pub id: String,
    /// `REPOSITORY@DIGEST`.
    pub repo_digest: String,
}

/// Two pulls share a layer only if they may both see it and it comes from one place.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LayerKey {
    repository: String,
    auth: Auth,
    digest: String,
    diff_id: String,
}

/// What all pulls of a node share.
pub(crate) struct Puller {
    shop: Workshop,
    /// Directory with `HOST/hosts.toml`.
    registry_config_path: PathBuf,
    stall_timeout: Duration,
    layers: Flights<LayerKey, Usage>,
    /// Layers being worked on at a time: each has a process with two busy threads.
    slots: Slots,
}

/// Layers of one image that are fetched at a time.
const SIDE_BY_SIDE: usize = 3;

impl Puller {
    pub fn new(shop: Workshop, registry_config_path: PathBuf, stall_timeout: Duration) -> Self {
        let slots = std::thread::available_parallelism().map_or(2, usize::from) + 1;
        Puller { shop, registry_config_path, stall_timeout, layers: Flights::default(), slots: Slots::new(slots) }
    }
}

/// Pulls an image, on the account of a tenant.
pub(crate) async fn pull(
    puller: Arc<Puller>,
    tenant: String,
    reference: Reference,
    auth: Auth,
) -> Result<PulledImage, ImageError> {
    let credentials = auth.for_registry(reference.registry())?;
    let repository = {
        let (puller, reference) = (puller.clone(), reference.clone());
        blocking(move || {
            let endpoints = endpoints(&puller.registry_config_path, reference.registry())?;
            Repository::new(endpoints, &reference, &credentials, puller.stall_timeout)
        })
        .await?
    };
    let repository = Arc::new(repository);
    let wanted = reference.digest().or(reference.tag()).unwrap_or("latest");
    let known = known(&puller.shop.store.lock().metadata, &reference);
    let (digest, bytes) = match repository.resolve(wanted, &known).await? {
        Resolved::Document(digest, bytes) => (digest, bytes),
        Resolved::Known(digest) => match again(&puller, &reference, &digest).await? {
            Some(pulled) => return Ok(pulled),
            // Removed at this moment.
            None => (digest.clone(), repository.manifest(&digest).await?),
        },
    };
    let manifest = descend(&repository, wanted, bytes).await?;
    let bytes = repository.document(&manifest.config).await?;
    let (bytes, image) = config(bytes, manifest.layers.len()).await?;
    let diff_ids = image.rootfs().diff_ids().clone();
    // By sha256, whatever the manifest calls it.
    let id = names::sha256(&bytes);
    let held = diff_ids.iter().filter_map(|d| names::hex_of(d).ok()).map(str::to_owned);
    let hold = puller.shop.store.hold(held.chain([id.clone()]).collect());
    let order = Order { share: Share { tenant, image: reference.whole() }, auth, reference };
    let layers = layers(&puller, &repository, &order, &manifest.layers, &diff_ids).await?;
    let reference = order.reference;
    let record = ImageRecord {
        id,
        repo_tags: names::repo_tag(&reference).into_iter().collect(),
        repo_digests: vec![names::repo_digest(&reference, &digest)],
        size: manifest.layers.iter().map(|l| l.size).sum::<u64>() + bytes.len() as u64,
        layers: diff_ids,
        parents: None,
        pinned: false,
    };
    let pulled = PulledImage { id: record.id.clone(), repo_digest: record.repo_digests[0].clone() };
    let store = puller.shop.store.clone();
    blocking(move || {
        let _hold = hold;
        store.record(record, &bytes, image, layers)
    })
    .await?;
    Ok(pulled)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ImageError::Failed(e.to_string()))?
}

/// Digests of this repository whose images are here.
fn known(metadata: &Metadata, reference: &Reference) -> HashSet<String> {
    let repository = names::repo_digest(reference, "");
    let all = metadata.images.values().flat_map(|image| &image.repo_digests);
    all.filter_map(|name| name.strip_prefix(&repository)).map(str::to_owned).collect()
}

/// The image is here already: the name is given to it. None: it was removed in the meantime.
async fn again(puller: &Puller, reference: &Reference, digest: &str) -> Result<Option<PulledImage>, ImageError> {
    let (repo_digest, tag) = (names::repo_digest(reference, digest), names::repo_tag(reference));
    let store = puller.shop.store.clone();
    blocking(move || {
        let metadata = store.lock().metadata.clone();
        let Some(image) = metadata.images.values().find(|image| image.repo_digests.contains(&repo_digest)) else {
            return Ok(None);
        };
        let pulled = PulledImage { id: image.id.clone(), repo_digest };
        let Some(tag) = tag.filter(|tag| !image.repo_tags.contains(tag)) else { return Ok(Some(pulled)) };
        let named = ImageRecord { repo_tags: vec![tag], repo_digests: Vec::new(), ..image.clone() };
        let mut there = false;
        store.commit(|metadata| {
            there = metadata.images.contains_key(&named.id);
            if there {
                metadata.put(named, []);
            }
        })?;
        Ok(there.then_some(pulled))
    })
    .await
}

/// The image for this machine, from the document that a name means.
async fn descend(repository: &Repository, wanted: &str, first: Vec<u8>) -> Result<Manifest, ImageError> {
    let (mut search, mut first) = (Search::new(wanted), Some(first));
    loop {
        let step = search.step()?;
        let bytes = match first.take() {
            Some(bytes) => bytes,
            None => repository.manifest(&step.name).await?,
        };
        // What strangers wrote may take long to read.
        match blocking(move || manifest::parse(&bytes)).await {
            Ok(Document::Manifest(manifest)) if step.sure => return Ok(manifest),
            Ok(Document::Index(entries)) => search.enter(&step, &entries)?,
            Ok(Document::Manifest(manifest)) => {
                let bytes = repository.document(&manifest.config).await?;
                if config(bytes, manifest.layers.len()).await.is_ok() {
                    return Ok(manifest);
                }
            }
            Err(error) if step.sure => return Err(error),
            // Not an image, such as an attestation.
            Err(_) => {}
        }
    }
}

/// Reads a config.
async fn config(bytes: Vec<u8>, layers: usize) -> Result<(Vec<u8>, ImageConfiguration), ImageError> {
    blocking(move || manifest::config(&bytes, layers).map(|config| (bytes, config))).await
}

/// Who wants which image, and may see it.
struct Order {
    share: Share,
    auth: Auth,
    reference: Reference,
}

/// All layers, the largest first, so that the last one is not what all wait for. The first that fails ends the others.
async fn layers(
    puller: &Arc<Puller>,
    repository: &Arc<Repository>,
    order: &Order,
    blobs: &[Descriptor],
    diff_ids: &[String],
) -> Result<Vec<(String, Usage)>, ImageError> {
    let mut by_size: Vec<usize> = (0..blobs.len()).collect();
    by_size.sort_by_key(|i| std::cmp::Reverse(blobs[*i].size));
    let fetch = by_size.into_iter().map(|i| {
        let key = LayerKey {
            repository: format!("{}/{}", order.reference.registry(), order.reference.repository()),
            auth: order.auth.clone(),
            digest: blobs[i].digest.clone(),
            diff_id: diff_ids[i].clone(),
        };
        layer(puller, repository, key, order.share.clone(), blobs[i].clone())
    });
    stream::iter(fetch).buffer_unordered(SIDE_BY_SIDE).try_collect().await
}

async fn layer(
    puller: &Arc<Puller>,
    repository: &Arc<Repository>,
    key: LayerKey,
    share: Share,
    blob: Descriptor,
) -> Result<(String, Usage), ImageError> {
    let hex = names::hex_of(&key.diff_id)?.to_owned();
    if let Some(usage) = puller.shop.store.layer(&hex) {
        return Ok((hex, usage));
    }
    let (worker, repository, diff_id) = (puller.clone(), repository.clone(), key.diff_id.clone());
    let work = move || async move {
        download::layer(&worker.shop, (&worker.slots, &share), &repository, &blob, &diff_id).await
    };
    Ok((hex, puller.layers.run(key, work).await?))
}
