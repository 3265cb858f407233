//! The seam to images: what the CRI services need of whoever pulls, keeps and unpacks them.

use std::sync::Arc;

use cofferdam_cri_api::v1::AuthConfig;
use cofferdam_sandbox::ContainerRootfs;
use oci_spec::image::ImageConfiguration;
use tonic::async_trait;

/// What can go wrong with images. Messages say which image, which host, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImagesError {
    /// There is no such image, here or at the registry.
    #[error("{0}")]
    NotFound(String),
    /// A reference, or what a registry gave, is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The registry does not answer, or not in time.
    #[error("{0}")]
    Unavailable(String),
    /// The registry wants other credentials, or the image is pinned.
    #[error("{0}")]
    Denied(String),
    /// A limit or the disk is full.
    #[error("{0}")]
    Exhausted(String),
    /// A step failed.
    #[error("{0}")]
    Failed(String),
}

/// An image of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Digest of its config, `sha256:HEX`.
    pub id: String,
    /// `REPOSITORY:TAG`, full names.
    pub repo_tags: Vec<String>,
    /// `REPOSITORY@DIGEST`.
    pub repo_digests: Vec<String>,
    /// Bytes of the compressed layers and the config.
    pub size: u64,
    /// Never removed.
    pub pinned: bool,
}

/// What files take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// Images, and the writable layers of containers. What only reads does not block.
#[async_trait]
pub trait Images: Send + Sync {
    /// Pulls an image on a tenant's account and answers its id. Equal pulls share one download, which ends when nobody
    /// waits for it any more.
    async fn pull(&self, tenant: &str, reference: &str, auth: Option<AuthConfig>) -> Result<String, ImagesError>;

    /// All images.
    fn list(&self) -> Vec<StoredImage>;

    /// An image by id, name, or unambiguous beginning of its id; `None`: there is none.
    fn find(&self, wanted: &str) -> Result<Option<StoredImage>, ImagesError>;

    /// The OCI config of an image, by id.
    fn config(&self, id: &str) -> Result<Arc<ImageConfiguration>, ImagesError>;

    /// Removes an image, or one of its names. Containers keep the layers they run on.
    async fn remove(&self, wanted: &str) -> Result<(), ImagesError>;

    /// What all images and writable layers take.
    fn fs_usage(&self) -> Result<DiskUsage, ImagesError>;

    /// What a container's writable layer takes, as last measured.
    fn usage(&self, container: &str) -> Option<DiskUsage>;

    /// Gives a container a writable layer on an image. Idempotent.
    async fn prepare_rootfs(&self, container: &str, image_id: &str) -> Result<ContainerRootfs, ImagesError>;

    /// Removes a container's writable layer. An absent one is a success.
    async fn remove_rootfs(&self, container: &str) -> Result<(), ImagesError>;
}
