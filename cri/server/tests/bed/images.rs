//! Images, faked: one image without layers, and writable layers that are only names.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_cri_api::v1::AuthConfig;
use cofferdam_cri_server::{DiskUsage, Images, ImagesError, StoredImage};
use cofferdam_sandbox::ContainerRootfs;
use oci_spec::image::ImageConfiguration;

use super::fakes::Fake;

/// The only image.
pub const IMAGE: &str = "registry.example/app:1";
const ID: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn image() -> StoredImage {
    StoredImage { id: ID.into(), repo_tags: vec![IMAGE.into()], repo_digests: Vec::new(), size: 1, pinned: false }
}

#[async_trait]
impl Images for Fake {
    async fn pull(&self, _: &str, _: &str, _: Option<AuthConfig>) -> Result<String, ImagesError> {
        Ok(ID.into())
    }

    fn list(&self) -> Vec<StoredImage> {
        vec![image()]
    }

    fn find(&self, wanted: &str) -> Result<Option<StoredImage>, ImagesError> {
        Ok([IMAGE, ID].contains(&wanted).then(image))
    }

    fn config(&self, _: &str) -> Result<Arc<ImageConfiguration>, ImagesError> {
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
            "config": { "Cmd": ["/bin/app"], "Volumes": { "/data": {} } },
        });
        Ok(Arc::new(serde_json::from_value(config).unwrap()))
    }

    async fn remove(&self, _: &str) -> Result<(), ImagesError> {
        Ok(())
    }

    fn fs_usage(&self) -> Result<DiskUsage, ImagesError> {
        Ok(DiskUsage::default())
    }

    fn usage(&self, _: &str) -> Option<DiskUsage> {
        None
    }

    async fn prepare_rootfs(&self, container: &str, _: &str) -> Result<ContainerRootfs, ImagesError> {
        self.0.step("prepare_rootfs").await.map_err(ImagesError::Failed)?;
        self.0.rootfs.lock().unwrap().insert(container.into());
        // The only layer has no user files.
        let lower = vec!["/proc/self/fdinfo".into()];
        Ok(ContainerRootfs { lower, upper: "/nowhere/upper".into(), work: "/nowhere/work".into() })
    }

    async fn remove_rootfs(&self, container: &str) -> Result<(), ImagesError> {
        self.0.step("remove_rootfs").await.map_err(ImagesError::Failed)?;
        self.0.rootfs.lock().unwrap().remove(container);
        Ok(())
    }
}
