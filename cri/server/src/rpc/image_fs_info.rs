//! ImageFsInfo.

use cofferdam_cri_api::v1 as cri;

use crate::error::Error;
use crate::present;
use crate::runtime::Runtime;

/// Images and writable layers share one file system.
pub(super) async fn info(runtime: &Runtime, _: cri::ImageFsInfoRequest) -> Result<cri::ImageFsInfoResponse, Error> {
    let usage = runtime.node.images.fs_usage()?;
    let one = present::images::disk_usage(&runtime.node.settings.root, Some(usage));
    Ok(cri::ImageFsInfoResponse { image_filesystems: vec![one.clone()], container_filesystems: vec![one] })
}
