//! The RPCs, one file each, and the service that hands every request to its file.

mod container_attach;
mod container_create;
mod container_exec;
mod container_list;
mod container_log;
mod container_remove;
mod container_start;
mod container_stats;
mod container_status;
mod container_stop;
mod container_update;
mod events;
mod image_fs_info;
mod image_list;
mod image_pull;
mod image_remove;
mod image_service;
mod port_forward;
mod runtime_status;
mod sandbox_list;
mod sandbox_remove;
mod sandbox_resources;
mod sandbox_run;
mod sandbox_stats;
mod sandbox_status;
mod sandbox_stop;
mod stream;

use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use tonic::{Request, Response, Status, async_trait};

pub(crate) use container_exec::spec as exec_spec;
pub use image_service::ImageServer;
pub(crate) use sandbox_status::facts as pod_facts;
use stream::{Pages, pages};

use crate::instrument::call;
use crate::{Error, Runtime};

/// CRI's RuntimeService.
#[derive(Clone)]
pub struct RuntimeServer(pub Arc<Runtime>);

/// What never fails.
fn ok<T>(answer: T) -> Result<T, Error> {
    Ok(answer)
}

/// What a later release brings.
fn later<T>(rpc: &str) -> Result<T, Error> {
    Err(Error::Unimplemented(format!("{rpc} is not supported yet")))
}

#[async_trait]
impl RuntimeService for RuntimeServer {
    async fn version(&self, _request: Request<cri::VersionRequest>) -> Result<Response<cri::VersionResponse>, Status> {
        call("Version", async { ok(runtime_status::version()) }).await
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<cri::RunPodSandboxRequest>,
    ) -> Result<Response<cri::RunPodSandboxResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("RunPodSandbox", async { sandbox_run::run(runtime, request).await }).await
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<cri::StopPodSandboxRequest>,
    ) -> Result<Response<cri::StopPodSandboxResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("StopPodSandbox", async { sandbox_stop::stop(runtime, request).await }).await
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<cri::RemovePodSandboxRequest>,
    ) -> Result<Response<cri::RemovePodSandboxResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("RemovePodSandbox", async { sandbox_remove::remove(runtime, request).await }).await
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<cri::PodSandboxStatusRequest>,
    ) -> Result<Response<cri::PodSandboxStatusResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("PodSandboxStatus", async { sandbox_status::status(runtime, &request) }).await
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<cri::ListPodSandboxRequest>,
    ) -> Result<Response<cri::ListPodSandboxResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ListPodSandbox", async {
            ok(cri::ListPodSandboxResponse { items: sandbox_list::list(runtime, request.filter.as_ref()) })
        })
        .await
    }

    async fn create_container(
        &self,
        request: Request<cri::CreateContainerRequest>,
    ) -> Result<Response<cri::CreateContainerResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("CreateContainer", async { container_create::create(runtime, request).await }).await
    }

    async fn start_container(
        &self,
        request: Request<cri::StartContainerRequest>,
    ) -> Result<Response<cri::StartContainerResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("StartContainer", async { container_start::start(runtime, request).await }).await
    }

    async fn stop_container(
        &self,
        request: Request<cri::StopContainerRequest>,
    ) -> Result<Response<cri::StopContainerResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("StopContainer", async { container_stop::stop(runtime, request).await }).await
    }

    async fn remove_container(
        &self,
        request: Request<cri::RemoveContainerRequest>,
    ) -> Result<Response<cri::RemoveContainerResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("RemoveContainer", async { container_remove::remove(runtime, request).await }).await
    }

    async fn list_containers(
        &self,
        request: Request<cri::ListContainersRequest>,
    ) -> Result<Response<cri::ListContainersResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ListContainers", async {
            ok(cri::ListContainersResponse { containers: container_list::list(runtime, request.filter.as_ref()) })
        })
        .await
    }

    async fn container_status(
        &self,
        request: Request<cri::ContainerStatusRequest>,
    ) -> Result<Response<cri::ContainerStatusResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ContainerStatus", async { container_status::status(runtime, &request) }).await
    }

    async fn update_container_resources(
        &self,
        request: Request<cri::UpdateContainerResourcesRequest>,
    ) -> Result<Response<cri::UpdateContainerResourcesResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("UpdateContainerResources", async { container_update::update(runtime, request).await }).await
    }

    async fn reopen_container_log(
        &self,
        request: Request<cri::ReopenContainerLogRequest>,
    ) -> Result<Response<cri::ReopenContainerLogResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ReopenContainerLog", async { container_log::reopen(runtime, request).await }).await
    }

    async fn exec_sync(
        &self,
        request: Request<cri::ExecSyncRequest>,
    ) -> Result<Response<cri::ExecSyncResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ExecSync", async { container_exec::exec_sync(runtime, request).await }).await
    }

    async fn exec(&self, request: Request<cri::ExecRequest>) -> Result<Response<cri::ExecResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("Exec", async { container_exec::url(runtime, &request) }).await
    }

    async fn attach(&self, request: Request<cri::AttachRequest>) -> Result<Response<cri::AttachResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("Attach", async { container_attach::url(runtime, &request) }).await
    }

    async fn port_forward(
        &self,
        request: Request<cri::PortForwardRequest>,
    ) -> Result<Response<cri::PortForwardResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("PortForward", async { port_forward::url(runtime, &request) }).await
    }

    async fn container_stats(
        &self,
        request: Request<cri::ContainerStatsRequest>,
    ) -> Result<Response<cri::ContainerStatsResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ContainerStats", async { container_stats::stats(runtime, request).await }).await
    }

    async fn list_container_stats(
        &self,
        request: Request<cri::ListContainerStatsRequest>,
    ) -> Result<Response<cri::ListContainerStatsResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ListContainerStats", async {
            ok(cri::ListContainerStatsResponse { stats: container_stats::list(runtime, request.filter.as_ref()).await })
        })
        .await
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<cri::PodSandboxStatsRequest>,
    ) -> Result<Response<cri::PodSandboxStatsResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("PodSandboxStats", async { sandbox_stats::stats(runtime, request).await }).await
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<cri::ListPodSandboxStatsRequest>,
    ) -> Result<Response<cri::ListPodSandboxStatsResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("ListPodSandboxStats", async {
            ok(cri::ListPodSandboxStatsResponse { stats: sandbox_stats::list(runtime, request.filter.as_ref()).await })
        })
        .await
    }

    async fn update_runtime_config(
        &self,
        request: Request<cri::UpdateRuntimeConfigRequest>,
    ) -> Result<Response<cri::UpdateRuntimeConfigResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("UpdateRuntimeConfig", async { runtime_status::update_config(runtime, request).await }).await
    }

    async fn status(&self, request: Request<cri::StatusRequest>) -> Result<Response<cri::StatusResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("Status", async { ok(runtime_status::status(runtime, &request)) }).await
    }

    async fn checkpoint_container(
        &self,
        _request: Request<cri::CheckpointContainerRequest>,
    ) -> Result<Response<cri::CheckpointContainerResponse>, Status> {
        call("CheckpointContainer", async { later("CheckpointContainer") }).await
    }

    async fn checkpoint_pod(
        &self,
        _request: Request<cri::CheckpointPodRequest>,
    ) -> Result<Response<cri::CheckpointPodResponse>, Status> {
        call("CheckpointPod", async { later("CheckpointPod") }).await
    }

    async fn restore_pod(
        &self,
        _request: Request<cri::RestorePodRequest>,
    ) -> Result<Response<cri::RestorePodResponse>, Status> {
        call("RestorePod", async { later("RestorePod") }).await
    }

    async fn list_metric_descriptors(
        &self,
        _request: Request<cri::ListMetricDescriptorsRequest>,
    ) -> Result<Response<cri::ListMetricDescriptorsResponse>, Status> {
        call("ListMetricDescriptors", async { later("ListMetricDescriptors") }).await
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _request: Request<cri::ListPodSandboxMetricsRequest>,
    ) -> Result<Response<cri::ListPodSandboxMetricsResponse>, Status> {
        call("ListPodSandboxMetrics", async { later("ListPodSandboxMetrics") }).await
    }

    async fn runtime_config(
        &self,
        _request: Request<cri::RuntimeConfigRequest>,
    ) -> Result<Response<cri::RuntimeConfigResponse>, Status> {
        let runtime = &self.0;
        call("RuntimeConfig", async { ok(runtime_status::config(runtime)) }).await
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<cri::UpdatePodSandboxResourcesRequest>,
    ) -> Result<Response<cri::UpdatePodSandboxResourcesResponse>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        call("UpdatePodSandboxResources", async { sandbox_resources::update(runtime, request).await }).await
    }

    type StreamPodSandboxesStream = Pages<cri::StreamPodSandboxesResponse>;

    async fn stream_pod_sandboxes(
        &self,
        request: Request<cri::StreamPodSandboxesRequest>,
    ) -> Result<Response<Self::StreamPodSandboxesStream>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        let page = |pod_sandboxes| cri::StreamPodSandboxesResponse { pod_sandboxes };
        call("StreamPodSandboxes", async { ok(pages(sandbox_list::list(runtime, request.filter.as_ref()), page)) })
            .await
    }

    type StreamContainersStream = Pages<cri::StreamContainersResponse>;

    async fn stream_containers(
        &self,
        request: Request<cri::StreamContainersRequest>,
    ) -> Result<Response<Self::StreamContainersStream>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        let page = |containers| cri::StreamContainersResponse { containers };
        call("StreamContainers", async { ok(pages(container_list::list(runtime, request.filter.as_ref()), page)) })
            .await
    }

    type StreamContainerStatsStream = Pages<cri::StreamContainerStatsResponse>;

    async fn stream_container_stats(
        &self,
        request: Request<cri::StreamContainerStatsRequest>,
    ) -> Result<Response<Self::StreamContainerStatsStream>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        let page = |container_stats| cri::StreamContainerStatsResponse { container_stats };
        call("StreamContainerStats", async {
            ok(pages(container_stats::list(runtime, request.filter.as_ref()).await, page))
        })
        .await
    }

    type StreamPodSandboxStatsStream = Pages<cri::StreamPodSandboxStatsResponse>;

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<cri::StreamPodSandboxStatsRequest>,
    ) -> Result<Response<Self::StreamPodSandboxStatsStream>, Status> {
        let runtime = &self.0;
        let request = request.into_inner();
        let page = |pod_sandbox_stats| cri::StreamPodSandboxStatsResponse { pod_sandbox_stats };
        call("StreamPodSandboxStats", async {
            ok(pages(sandbox_stats::list(runtime, request.filter.as_ref()).await, page))
        })
        .await
    }

    type StreamPodSandboxMetricsStream = Pages<cri::StreamPodSandboxMetricsResponse>;

    async fn stream_pod_sandbox_metrics(
        &self,
        _request: Request<cri::StreamPodSandboxMetricsRequest>,
    ) -> Result<Response<Self::StreamPodSandboxMetricsStream>, Status> {
        call("StreamPodSandboxMetrics", async { later("StreamPodSandboxMetrics") }).await
    }

    type GetContainerEventsStream = Pages<cri::ContainerEventResponse>;

    async fn get_container_events(
        &self,
        _request: Request<cri::GetEventsRequest>,
    ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
        let runtime = &self.0;
        call("GetContainerEvents", async { ok(Box::pin(events::stream(runtime)) as Self::GetContainerEventsStream) })
            .await
    }
}
