//! GetContainerEvents.

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;
use tonic::Status;

use crate::Runtime;

/// Events from now on. A client that falls behind is cut off: kubelet then relists and comes again.
pub(super) fn stream(
    runtime: &Arc<Runtime>,
) -> impl Stream<Item = Result<cri::ContainerEventResponse, Status>> + Send + use<> {
    let events = BroadcastStream::new(runtime.subscribe());
    events.map(|event| event.map_err(|e| Status::data_loss(e.to_string()))).take_until(runtime.ending())
}
