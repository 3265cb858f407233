//! What the server needs of images.

use cofferdam_image::ImageError;

use crate::spec::ImageDefaults;
use crate::{Error, Runtime};

/// An image as a container sees it.
pub(crate) struct Image {
    pub id: String,
    /// Repo digest, or the id where there is none.
    pub reference: String,
    pub defaults: ImageDefaults,
}

impl From<ImageError> for Error {
    fn from(error: ImageError) -> Self {
        let text = error.to_string();
        match error {
            ImageError::NotFound(_) => Error::NotFound(text),
            ImageError::Invalid(_) => Error::Invalid(text),
            // kubelet recognises this beginning.
            ImageError::Unavailable(_) => Error::Unknown(format!("RegistryUnavailable: {text}")),
            ImageError::Denied(_) => Error::Denied(text),
            ImageError::Exhausted(_) => Error::Exhausted(text),
            ImageError::Failed(_) => Error::Internal(text),
        }
    }
}

impl Runtime {
    /// An image by id or reference.
    pub(crate) fn image(&self, wanted: &str) -> Result<Image, Error> {
        if wanted.is_empty() {
            return Err(Error::Invalid("config.image.image: is empty".into()));
        }
        let record = self.parts.images.status(wanted)?;
        let record = record.ok_or_else(|| Error::NotFound(format!("image {wanted:?} not found")))?;
        let config = self.parts.images.config(&record.id)?;
        let runtime = config.config().clone().unwrap_or_default();
        let defaults = ImageDefaults {
            entrypoint: runtime.entrypoint().clone().unwrap_or_default(),
            cmd: runtime.cmd().clone().unwrap_or_default(),
            env: runtime.env().clone().unwrap_or_default(),
            working_dir: runtime.working_dir().clone().unwrap_or_default(),
            user: runtime.user().clone().unwrap_or_default(),
            stop_signal: runtime.stop_signal().clone().unwrap_or_default(),
            volumes: runtime.volumes().clone().unwrap_or_default(),
        };
        let reference = record.repo_digests.first().cloned().unwrap_or_else(|| record.id.clone());
        Ok(Image { id: record.id.clone(), reference, defaults })
    }
}
