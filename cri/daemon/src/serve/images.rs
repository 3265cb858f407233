//! The image service.

use anyhow::Context as _;
use cofferdam_image::{Helper, ImageConfig, ImageService, Limits};

use super::{files, reexec};
use crate::config::Config;

/// Opens the images below ROOT. Blocking.
pub fn open(config: &Config) -> anyhow::Result<ImageService> {
    let root = config.root.join(files::IMAGES);
    let settings = ImageConfig {
        root: root.clone(),
        registry_config_path: config.registry.config_path.clone(),
        helper: Helper { program: reexec::SELF.into(), args: vec![reexec::UNPACK.into()] },
        limits: Limits::default(),
        stall_timeout: ImageConfig::STALL_TIMEOUT,
        pinned: config.images.pinned.clone(),
    };
    ImageService::open(settings).with_context(|| format!("images {}", root.display()))
}
