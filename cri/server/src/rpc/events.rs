//! GetContainerEvents.

use cofferdam_cri_api::v1 as cri;
use futures::StreamExt;
use tokio_stream::wrappers::BroadcastStream;
use tonic::Status;

use super::pages::Pages;
use crate::error::Error;
use crate::runtime::Runtime;

/// Events from now on. A client that falls behind is cut off: kubelet then relists and comes again.
pub(super) async fn stream(
    runtime: &Runtime,
    _: cri::GetEventsRequest,
) -> Result<Pages<cri::ContainerEventResponse>, Error> {
    let events = BroadcastStream::new(runtime.events.subscribe());
    let events = events.map(|event| event.map_err(|e| Status::data_loss(e.to_string())));
    Ok(Box::pin(events.take_until(runtime.events.ending())))
}
