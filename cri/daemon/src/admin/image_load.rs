//! ImageLoad: the archive goes into a file without a name, so that nothing of it is left whatever happens.

use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use cofferdam_admin_api::v1::{ImageLoadRequest, ImageLoadResponse};
use cofferdam_image::{ImageError, Limits};
use tokio::io::AsyncWriteExt as _;
use tonic::{Status, Streaming};

use crate::daemon::Daemon;

pub async fn load(daemon: &Arc<Daemon>, mut chunks: Streaming<ImageLoadRequest>) -> Result<ImageLoadResponse, Status> {
    let spooled = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => Status::resource_exhausted(format!("the archive does not fit: {error}")),
        _ => Status::internal(format!("keep the archive in {}: {error}", daemon.config.root.display())),
    };
    let file = tempfile::tempfile_in(&daemon.config.root).map_err(spooled)?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut size, most) = (0, Limits::default().bytes);
    while let Some(request) = chunks.message().await? {
        size += request.chunk.len() as u64;
        if size > most {
            return Err(Status::resource_exhausted(format!("the archive is larger than {most} bytes")));
        }
        file.write_all(&request.chunk).await.map_err(spooled)?;
    }
    file.flush().await.map_err(spooled)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let shown = path.display().to_string();
    // The client says which file it was; its number here tells nobody anything.
    let loaded = daemon.images.load(&path).await.map_err(|error| refused(error, &format!("load {shown}: ")))?;
    drop(file);
    let names = loaded.into_iter().flat_map(|image| if image.tags.is_empty() { vec![image.id] } else { image.tags });
    Ok(ImageLoadResponse { images: names.collect() })
}

fn refused(error: ImageError, prefix: &str) -> Status {
    let text = error.to_string().replace(prefix, "");
    match error {
        ImageError::NotFound(_) => Status::not_found(text),
        ImageError::Invalid(_) => Status::invalid_argument(text),
        ImageError::Unavailable(_) => Status::unavailable(text),
        ImageError::Denied(_) => Status::permission_denied(text),
        ImageError::Exhausted(_) => Status::resource_exhausted(text),
        ImageError::Failed(_) => Status::internal(text),
    }
}
