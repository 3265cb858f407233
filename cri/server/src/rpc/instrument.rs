//! The one decorator of all RPCs: tracing, and errors to gRPC statuses.

use std::future::Future;
use std::time::Instant;

use tonic::{Response, Status};

use crate::error::Error;

/// Runs one RPC. Failures are logged once, here; what kubelet asks for every second only at level debug.
pub(super) async fn call<T>(
    name: &'static str,
    rpc: impl Future<Output = Result<T, Error>>,
) -> Result<Response<T>, Status> {
    let begun = Instant::now();
    let result = rpc.await;
    let ms = begun.elapsed().as_millis() as u64;
    match result {
        Ok(answer) => {
            tracing::debug!(rpc = name, ms, "ok");
            Ok(Response::new(answer))
        }
        Err(error) => {
            match &error {
                Error::NotFound(_) | Error::Unimplemented(_) => tracing::debug!(rpc = name, ms, %error, "refused"),
                _ => tracing::warn!(rpc = name, ms, %error, "failed"),
            }
            Err(error.into())
        }
    }
}
