//! RPCs that this release does not have.

use cofferdam_cri_api::v1 as cri;

use super::pages::Pages;
use crate::error::Error;
use crate::runtime::Runtime;

macro_rules! unsupported {
    ($( $rpc:literal $name:ident($request:ty) -> $answer:ty; )*) => {
        $(
            pub(super) async fn $name(_: &Runtime, _: $request) -> Result<$answer, Error> {
                Err(Error::Unimplemented(concat!($rpc, " is not supported yet").into()))
            }
        )*
    };
}

unsupported! {
    "CheckpointContainer" checkpoint_container(cri::CheckpointContainerRequest) -> cri::CheckpointContainerResponse;
    "CheckpointPod" checkpoint_pod(cri::CheckpointPodRequest) -> cri::CheckpointPodResponse;
    "RestorePod" restore_pod(cri::RestorePodRequest) -> cri::RestorePodResponse;
    "ListMetricDescriptors" list_metric_descriptors(cri::ListMetricDescriptorsRequest)
        -> cri::ListMetricDescriptorsResponse;
    "ListPodSandboxMetrics" list_pod_sandbox_metrics(cri::ListPodSandboxMetricsRequest)
        -> cri::ListPodSandboxMetricsResponse;
    "StreamPodSandboxMetrics" stream_pod_sandbox_metrics(cri::StreamPodSandboxMetricsRequest)
        -> Pages<cri::StreamPodSandboxMetricsResponse>;
}
