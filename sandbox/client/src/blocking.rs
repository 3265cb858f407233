//! Work that waits for the kernel.

use cofferdam_sandbox::SandboxError;

/// Runs what waits for the kernel on a thread of its own, where it holds nobody up.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SandboxError::failed("sandbox", error)))
}
