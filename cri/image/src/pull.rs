//! PullImage: name -> manifest -> config -> layers side by side -> one durable record.

use std::sync::Arc;

use futures::future::join_all;
use oci_spec::distribution::Reference;
use oci_spec::image::ImageConfiguration;

use crate::auth::{Auth, Credentials};
use crate::manifest::{Descriptor, Document, Manifest};
use crate::metadata::ImageRecord;
use crate::registry::Repository;
use crate::service::{Inner, LayerKey, PulledImage};
use crate::state::Store;
use crate::usage::Usage;
use crate::{ImageError, download, files, hosts, manifest, names};

/// Pulls an image.
pub(crate) async fn pull(inner: Arc<Inner>, reference: Reference, auth: Auth) -> Result<PulledImage, ImageError> {
    let config = &inner.config;
    let endpoints = hosts::endpoints(&config.registry_config_path, reference.registry())?;
    let credentials: Credentials = auth.for_registry(reference.registry())?;
    let repository = Arc::new(Repository::new(endpoints, &reference, &credentials, config.stall_timeout)?);
    let wanted = reference.digest().or(reference.tag()).unwrap_or("latest");
    let (digest, manifest) = resolve(&repository, wanted).await?;
    let bytes = repository.document(&manifest.config).await?;
    let image = manifest::config(&bytes, manifest.layers.len())?;
    let diff_ids = image.rootfs().diff_ids().clone();
    let held = diff_ids.iter().filter_map(|d| names::hex_of(d).ok()).map(str::to_owned);
    let hold = inner.shop.store.hold(held.chain([manifest.config.digest.clone()]).collect());
    let layers = layers(&inner, &repository, &auth, &reference, &manifest.layers, &diff_ids).await?;
    let record = ImageRecord {
        id: manifest.config.digest.clone(),
        repo_tags: names::repo_tag(&reference).into_iter().collect(),
        repo_digests: vec![names::repo_digest(&reference, &digest)],
        size: manifest.layers.iter().map(|l| l.size).sum::<u64>() + bytes.len() as u64,
        layers: diff_ids,
        pinned: false,
    };
    let pulled = PulledImage { id: record.id.clone(), repo_digest: record.repo_digests[0].clone() };
    let store = inner.shop.store.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _hold = hold;
        record_image(&store, record, &bytes, image, layers)
    });
    done.await.map_err(|e| ImageError::Failed(e.to_string()))??;
    Ok(pulled)
}

/// What the name means at the registry, and the image for this machine.
async fn resolve(repository: &Repository, wanted: &str) -> Result<(String, Manifest), ImageError> {
    let (digest, bytes) = repository.manifest(wanted).await?;
    let entries = match manifest::parse(&bytes)? {
        Document::Manifest(manifest) => return Ok((digest, manifest)),
        Document::Index(entries) => entries,
    };
    let (_, bytes) = repository.manifest(&manifest::choose(&entries)?.digest).await?;
    match manifest::parse(&bytes)? {
        Document::Manifest(manifest) => Ok((digest, manifest)),
        Document::Index(_) => Err(ImageError::Invalid("an index within an index is not supported".into())),
    }
}

/// All layers, the largest first, so that the last one is not what all wait for.
async fn layers(
    inner: &Arc<Inner>,
    repository: &Arc<Repository>,
    auth: &Auth,
    reference: &Reference,
    blobs: &[Descriptor],
    diff_ids: &[String],
) -> Result<Vec<(String, Usage)>, ImageError> {
    let mut order: Vec<usize> = (0..blobs.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(blobs[*i].size));
    let fetch = order.into_iter().map(|i| {
        let key = LayerKey {
            repository: format!("{}/{}", reference.registry(), reference.repository()),
            auth: auth.clone(),
            digest: blobs[i].digest.clone(),
            diff_id: diff_ids[i].clone(),
        };
        layer(inner, repository, key, blobs[i].clone())
    });
    // All are waited for: what is still being written must stay held.
    join_all(fetch).await.into_iter().collect()
}

async fn layer(
    inner: &Arc<Inner>,
    repository: &Arc<Repository>,
    key: LayerKey,
    blob: Descriptor,
) -> Result<(String, Usage), ImageError> {
    let hex = names::hex_of(&key.diff_id)?.to_owned();
    if let Some(usage) = inner.shop.store.layer(&hex) {
        return Ok((hex, usage));
    }
    let (inner, repository, diff_id) = (inner.clone(), repository.clone(), key.diff_id.clone());
    let flights = inner.clone();
    let work = move || async move {
        let _slot = inner.slots.acquire().await.map_err(|e| ImageError::Failed(e.to_string()))?;
        download::layer(&inner.shop, &repository, &blob, &diff_id).await
    };
    Ok((hex, flights.layers.run(key, work).await?))
}

/// Layers are on the disk before anything names them. Blocking.
pub(crate) fn record_image(
    store: &Store,
    record: ImageRecord,
    bytes: &[u8],
    image: ImageConfiguration,
    layers: Vec<(String, Usage)>,
) -> Result<(), ImageError> {
    let path = store.blob(names::hex_of(&record.id)?);
    files::replace(&path, bytes).map_err(|e| ImageError::io(format!("write {}", path.display()), e))?;
    store.sync()?;
    store.lock().configs.insert(record.id.clone(), Arc::new(image));
    store.commit(|document| document.put(record, layers))
}
