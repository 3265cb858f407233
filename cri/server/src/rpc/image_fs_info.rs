//! ImageFsInfo.

use cofferdam_cri_api::v1 as cri;

use crate::{Error, Runtime, runtime::now};

/// Images and writable layers share one file system.
pub(super) fn info(runtime: &Runtime) -> Result<cri::ImageFsInfoResponse, Error> {
    let usage = runtime.parts.images.fs_usage()?;
    let one = cri::FilesystemUsage {
        timestamp: now(),
        fs_id: Some(cri::FilesystemIdentifier { mountpoint: runtime.settings.root.to_string_lossy().into_owned() }),
        used_bytes: Some(cri::UInt64Value { value: usage.bytes }),
        inodes_used: Some(cri::UInt64Value { value: usage.inodes }),
    };
    Ok(cri::ImageFsInfoResponse { image_filesystems: vec![one.clone()], container_filesystems: vec![one] })
}
