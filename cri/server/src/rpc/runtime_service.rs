//! CRI's RuntimeService.

use super::service::service;

service! {
    /// CRI's RuntimeService over a runtime.
    RuntimeServer serves cofferdam_cri_api::v1::runtime_service_server::RuntimeService;

    unary {
        "Version" version(VersionRequest) -> VersionResponse = runtime_status::version;
        "Status" status(StatusRequest) -> StatusResponse = runtime_status::status;
        "RuntimeConfig" runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse = runtime_config::get;
        "UpdateRuntimeConfig" update_runtime_config(UpdateRuntimeConfigRequest)
            -> UpdateRuntimeConfigResponse = runtime_config::update;

        "RunPodSandbox" run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse = sandbox_run::run;
        "StopPodSandbox" stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse = sandbox_stop::stop;
        "RemovePodSandbox" remove_pod_sandbox(RemovePodSandboxRequest)
            -> RemovePodSandboxResponse = sandbox_remove::remove;
        "PodSandboxStatus" pod_sandbox_status(PodSandboxStatusRequest)
            -> PodSandboxStatusResponse = sandbox_status::status;
        "ListPodSandbox" list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse = sandbox_list::list;
        "PodSandboxStats" pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse = sandbox_stats::stats;
        "ListPodSandboxStats" list_pod_sandbox_stats(ListPodSandboxStatsRequest)
            -> ListPodSandboxStatsResponse = sandbox_stats::list;
        "UpdatePodSandboxResources" update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest)
            -> UpdatePodSandboxResourcesResponse = sandbox_resources::update;
        "PortForward" port_forward(PortForwardRequest) -> PortForwardResponse = port_forward::url;

        "CreateContainer" create_container(CreateContainerRequest)
            -> CreateContainerResponse = container_create::create;
        "StartContainer" start_container(StartContainerRequest) -> StartContainerResponse = container_start::start;
        "StopContainer" stop_container(StopContainerRequest) -> StopContainerResponse = container_stop::stop;
        "RemoveContainer" remove_container(RemoveContainerRequest)
            -> RemoveContainerResponse = container_remove::remove;
        "ContainerStatus" container_status(ContainerStatusRequest)
            -> ContainerStatusResponse = container_status::status;
        "ListContainers" list_containers(ListContainersRequest) -> ListContainersResponse = container_list::list;
        "ContainerStats" container_stats(ContainerStatsRequest) -> ContainerStatsResponse = container_stats::stats;
        "ListContainerStats" list_container_stats(ListContainerStatsRequest)
            -> ListContainerStatsResponse = container_stats::list;
        "UpdateContainerResources" update_container_resources(UpdateContainerResourcesRequest)
            -> UpdateContainerResourcesResponse = container_update::update;
        "ReopenContainerLog" reopen_container_log(ReopenContainerLogRequest)
            -> ReopenContainerLogResponse = container_log::reopen;
        "ExecSync" exec_sync(ExecSyncRequest) -> ExecSyncResponse = container_exec::exec_sync;
        "Exec" exec(ExecRequest) -> ExecResponse = container_exec::url;
        "Attach" attach(AttachRequest) -> AttachResponse = container_attach::url;

        "CheckpointContainer" checkpoint_container(CheckpointContainerRequest)
            -> CheckpointContainerResponse = unsupported::checkpoint_container;
        "CheckpointPod" checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse = unsupported::checkpoint_pod;
        "RestorePod" restore_pod(RestorePodRequest) -> RestorePodResponse = unsupported::restore_pod;
        "ListMetricDescriptors" list_metric_descriptors(ListMetricDescriptorsRequest)
            -> ListMetricDescriptorsResponse = unsupported::list_metric_descriptors;
        "ListPodSandboxMetrics" list_pod_sandbox_metrics(ListPodSandboxMetricsRequest)
            -> ListPodSandboxMetricsResponse = unsupported::list_pod_sandbox_metrics;
    }

    streams {
        "StreamPodSandboxes" stream_pod_sandboxes(StreamPodSandboxesRequest)
            -> StreamPodSandboxesStream of StreamPodSandboxesResponse = sandbox_list::stream;
        "StreamPodSandboxStats" stream_pod_sandbox_stats(StreamPodSandboxStatsRequest)
            -> StreamPodSandboxStatsStream of StreamPodSandboxStatsResponse = sandbox_stats::stream;
        "StreamPodSandboxMetrics" stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest)
            -> StreamPodSandboxMetricsStream of StreamPodSandboxMetricsResponse
            = unsupported::stream_pod_sandbox_metrics;
        "StreamContainers" stream_containers(StreamContainersRequest)
            -> StreamContainersStream of StreamContainersResponse = container_list::stream;
        "StreamContainerStats" stream_container_stats(StreamContainerStatsRequest)
            -> StreamContainerStatsStream of StreamContainerStatsResponse = container_stats::stream;
        "GetContainerEvents" get_container_events(GetEventsRequest)
            -> GetContainerEventsStream of ContainerEventResponse = events::stream;
    }
}
