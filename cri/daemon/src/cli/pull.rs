//! PullImage with a spinner.

use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::Clients;
use super::error::CliError;

/// Pulls an image and answers its id. CRI tells nothing on the way, so people see the time that it takes.
///
/// # Errors
/// The daemon's, which names the image.
pub async fn pull_with_progress(
    clients: &mut Clients,
    image: &str,
    auth: Option<cri::AuthConfig>,
) -> Result<String, CliError> {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(format!("pulling {image}"));
    spinner.enable_steady_tick(Duration::from_millis(120));
    let spec = cri::ImageSpec { image: image.to_owned(), ..Default::default() };
    let request = cri::PullImageRequest { image: Some(spec), auth, sandbox_config: None };
    let answer = clients.images.pull_image(request).await;
    spinner.finish_and_clear();
    Ok(answer?.into_inner().image_ref)
}
