//! The image service behind the seam of the CRI server.

use std::sync::Arc;

use cofferdam_cri_api::v1::AuthConfig;
use cofferdam_cri_server::{DiskUsage, Images, ImagesError, StoredImage};
use cofferdam_image::{Auth, ImageError, ImageRecord, ImageService, Usage};
use cofferdam_sandbox::ContainerRootfs;
use oci_spec::image::ImageConfiguration;
use tonic::async_trait;

/// Translates between the two crates, which know nothing of each other.
pub struct NodeImages(pub Arc<ImageService>);

#[async_trait]
impl Images for NodeImages {
    async fn pull(&self, tenant: &str, reference: &str, auth: Option<AuthConfig>) -> Result<String, ImagesError> {
        Ok(self.0.pull_for(tenant, reference, auth.map(credentials)).await.map_err(error)?.id)
    }

    fn list(&self) -> Vec<StoredImage> {
        self.0.list().into_iter().map(image).collect()
    }

    fn find(&self, wanted: &str) -> Result<Option<StoredImage>, ImagesError> {
        Ok(self.0.status(wanted).map_err(error)?.map(image))
    }

    fn config(&self, id: &str) -> Result<Arc<ImageConfiguration>, ImagesError> {
        self.0.config(id).map_err(error)
    }

    async fn remove(&self, wanted: &str) -> Result<(), ImagesError> {
        self.0.remove(wanted).await.map_err(error)
    }

    fn fs_usage(&self) -> Result<DiskUsage, ImagesError> {
        self.0.fs_usage().map(disk_usage).map_err(error)
    }

    fn usage(&self, container: &str) -> Option<DiskUsage> {
        self.0.usage(container).map(disk_usage)
    }

    async fn prepare_rootfs(&self, container: &str, image_id: &str) -> Result<ContainerRootfs, ImagesError> {
        let rootfs = self.0.prepare_rootfs(container, image_id).await.map_err(error)?;
        Ok(ContainerRootfs { lower: rootfs.lowerdirs, upper: rootfs.upper, work: rootfs.work })
    }

    async fn remove_rootfs(&self, container: &str) -> Result<(), ImagesError> {
        self.0.remove_rootfs(container).await.map_err(error)
    }
}

fn credentials(auth: AuthConfig) -> Auth {
    Auth {
        username: auth.username,
        password: auth.password,
        auth: auth.auth,
        server_address: auth.server_address,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
    }
}

fn image(record: ImageRecord) -> StoredImage {
    StoredImage {
        id: record.id,
        repo_tags: record.repo_tags,
        repo_digests: record.repo_digests,
        size: record.size,
        pinned: record.pinned,
    }
}

fn disk_usage(usage: Usage) -> DiskUsage {
    DiskUsage { bytes: usage.bytes, inodes: usage.inodes }
}

fn error(error: ImageError) -> ImagesError {
    match error {
        ImageError::NotFound(text) => ImagesError::NotFound(text),
        ImageError::Invalid(text) => ImagesError::Invalid(text),
        ImageError::Unavailable(text) => ImagesError::Unavailable(text),
        ImageError::Denied(text) => ImagesError::Denied(text),
        ImageError::Exhausted(text) => ImagesError::Exhausted(text),
        ImageError::Failed(text) => ImagesError::Failed(text),
    }
}
