//! A CRI client of one runtime. Requests go over its socket directly, so that only the runtime is measured.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::image_service_client::ImageServiceClient;
use cofferdam_cri_api::v1::runtime_service_client::RuntimeServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::pod;

/// What takes longer is broken, and must not stop the run.
const LIMIT: Duration = Duration::from_secs(120);

/// One connection, as kubelet has it.
#[derive(Debug, Clone)]
pub struct Client {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    handler: String,
}

/// A started pod, and how long each call took, in milliseconds.
#[derive(Debug, Clone)]
pub struct Started {
    /// Sandbox.
    pub sandbox: String,
    /// Container.
    pub container: String,
    /// RunPodSandbox, CreateContainer, StartContainer.
    pub steps: [f64; 3],
}

impl Client {
    /// Connects; `handler` is the runtime handler of its pods.
    pub async fn connect(socket: &Path, handler: &str) -> Result<Self> {
        let path = socket.to_owned();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        let channel = Endpoint::from_static("http://localhost").timeout(LIMIT).connect_with_connector(connect).await;
        let channel = channel.with_context(|| format!("connect to {}", socket.display()))?;
        let (runtime, images) = (RuntimeServiceClient::new(channel.clone()), ImageServiceClient::new(channel));
        Ok(Self { runtime, images, handler: handler.to_owned() })
    }

    /// Name and version.
    pub async fn version(&mut self) -> Result<String> {
        let answer = self.runtime.version(cri::VersionRequest::default()).await?.into_inner();
        Ok(format!("{} {}", answer.runtime_name, answer.runtime_version))
    }

    /// PullImage.
    pub async fn pull(&mut self, image: &str) -> Result<()> {
        let image = Some(cri::ImageSpec { image: image.to_owned(), ..Default::default() });
        self.images.pull_image(cri::PullImageRequest { image, ..Default::default() }).await?;
        Ok(())
    }

    /// A pod with its one container running, as kubelet starts it.
    pub async fn start(&mut self, pod: &pod::Pod) -> Result<Started> {
        let config = Some(pod.sandbox());
        let request = cri::RunPodSandboxRequest { config: config.clone(), runtime_handler: self.handler.clone() };
        let (run, answer) = timed(self.runtime.run_pod_sandbox(request)).await.context("RunPodSandbox")?;
        let sandbox = answer.pod_sandbox_id;
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.clone(),
            config: Some(pod.container()),
            sandbox_config: config,
        };
        let (create, answer) = timed(self.runtime.create_container(request)).await.context("CreateContainer")?;
        let container = answer.container_id;
        let request = cri::StartContainerRequest { container_id: container.clone() };
        let (start, _) = timed(self.runtime.start_container(request)).await.context("StartContainer")?;
        Ok(Started { sandbox, container, steps: [run, create, start] })
    }

    /// ExecSync of `true`.
    pub async fn exec(&mut self, started: &Started) -> Result<f64> {
        let cmd = vec!["true".to_owned()];
        let request = cri::ExecSyncRequest { container_id: started.container.clone(), cmd, timeout: 30 };
        let (time, answer) = timed(self.runtime.exec_sync(request)).await.context("ExecSync")?;
        anyhow::ensure!(answer.exit_code == 0, "true ended with {}", answer.exit_code);
        Ok(time)
    }

    /// Stops and removes the container and its sandbox; all four calls together.
    pub async fn end(&mut self, started: &Started) -> Result<f64> {
        let began = Instant::now();
        let container_id = started.container.clone();
        let request = cri::StopContainerRequest { container_id: container_id.clone(), timeout: 0 };
        self.runtime.stop_container(request).await.context("StopContainer")?;
        let pod_sandbox_id = started.sandbox.clone();
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
        self.runtime.stop_pod_sandbox(request).await.context("StopPodSandbox")?;
        let request = cri::RemoveContainerRequest { container_id };
        self.runtime.remove_container(request).await.context("RemoveContainer")?;
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id };
        self.runtime.remove_pod_sandbox(request).await.context("RemovePodSandbox")?;
        Ok(milliseconds(began))
    }

    /// Removes every sandbox that is left, as after an error.
    pub async fn clear(&mut self) -> Result<()> {
        let pods = self.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?.into_inner();
        for pod in pods.items {
            let pod_sandbox_id = pod.id;
            let request = cri::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
            self.runtime.stop_pod_sandbox(request).await?;
            self.runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id }).await?;
        }
        Ok(())
    }

    /// The pid of a pod's shim, from the verbose status that Cofferdam gives.
    pub async fn shim_pid(&mut self, started: &Started) -> Result<u32> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: started.sandbox.clone(), verbose: true };
        let answer = self.runtime.pod_sandbox_status(request).await?.into_inner();
        let info = answer.info.get("cofferdam").context("no verbose info of cofferdam")?;
        let info: serde_json::Value = serde_json::from_str(info)?;
        Ok(u32::try_from(info["shimPid"].as_u64().context("no shimPid")?)?)
    }
}

async fn timed<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<(f64, T)> {
    let began = Instant::now();
    let answer = call.await?;
    Ok((milliseconds(began), answer.into_inner()))
}

/// Since then.
pub fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
