//! crictl, run inside the daemon's host network namespace, since streaming listens there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use cofferdam_test_images::dies_with_parent;
use serde_json::Value;

use crate::paths::crictl_path;
use crate::pod::{ContainerSpec, PodSpec};
use crate::run::{Output, output_of};

/// A client of one daemon.
#[derive(Clone, Debug)]
pub struct Crictl {
    netns: PathBuf,
    socket: PathBuf,
    dir: PathBuf,
}

impl Crictl {
    pub(crate) fn new(netns: &Path, socket: &Path, dir: &Path) -> Self {
        Self { netns: netns.to_owned(), socket: socket.to_owned(), dir: dir.to_owned() }
    }

    /// Runs crictl with these arguments, to its end.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        let mut all = self.prefix()?;
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        output_of("nsenter", all)
    }

    /// The same, and it has to succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> Result<String> {
        self.run(args)?.ok()
    }

    /// The same, and its answer is JSON (`-o json` is added).
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = args[..1].to_vec();
        all.extend(["-o", "json"]);
        all.extend(&args[1..]);
        let text = self.ok(&all)?;
        serde_json::from_str(&text).with_context(|| format!("crictl {args:?}: {text}"))
    }

    /// A command to spawn with pipes (attach, exec -i, logs -f, port-forward); it is killed when the test ends.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = dies_with_parent();
        command.arg("nsenter").args(self.prefix()?).args(args);
        Ok(command)
    }

    /// Pulls an image; its id.
    pub fn pull(&self, image: &str) -> Result<String> {
        let answer = self.ok(&["pull", image])?;
        Ok(answer.rsplit(' ').next().unwrap_or_default().trim().to_owned())
    }

    /// RunPodSandbox; the id.
    pub fn run_pod(&self, pod: &PodSpec) -> Result<String> {
        Ok(self.try_run_pod(pod)?.ok()?.trim().to_owned())
    }

    /// RunPodSandbox, whatever comes of it.
    pub fn try_run_pod(&self, pod: &PodSpec) -> Result<Output> {
        let file = self.pod_file(pod)?;
        let mut args = vec!["runp"];
        if !pod.handler.is_empty() {
            args.extend(["--runtime", &pod.handler]);
        }
        args.push(&file);
        self.run(&args)
    }

    /// CreateContainer; the id.
    pub fn create(&self, sandbox: &str, container: &ContainerSpec, pod: &PodSpec) -> Result<String> {
        Ok(self.try_create(sandbox, container, pod)?.ok()?.trim().to_owned())
    }

    /// CreateContainer, whatever comes of it.
    pub fn try_create(&self, sandbox: &str, container: &ContainerSpec, pod: &PodSpec) -> Result<Output> {
        let file = self.write("container", &container.config)?;
        self.run(&["create", sandbox, &file, &self.pod_file(pod)?])
    }

    /// Creates and starts a container; the id.
    pub fn run_container(&self, sandbox: &str, container: &ContainerSpec, pod: &PodSpec) -> Result<String> {
        let id = self.create(sandbox, container, pod)?;
        self.ok(&["start", &id])?;
        Ok(id)
    }

    /// ExecSync; standard output of a command that succeeds.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<String> {
        let out = self.try_exec(container, command)?.ok()?;
        // crictl ends standard output and standard error with a line feed each, and prints both here.
        Ok(out.strip_suffix("\n\n").unwrap_or(&out).to_owned())
    }

    /// ExecSync, whatever comes of it.
    pub fn try_exec(&self, container: &str, command: &[&str]) -> Result<Output> {
        self.run(&[&["exec", "-s", container], command].concat())
    }

    /// The verbose status of a container.
    pub fn inspect(&self, container: &str) -> Result<Value> {
        self.json(&["inspect", container])
    }

    /// The verbose status of a sandbox.
    pub fn inspect_pod(&self, sandbox: &str) -> Result<Value> {
        self.json(&["inspectp", sandbox])
    }

    /// The first address of a pod.
    pub fn pod_ip(&self, sandbox: &str) -> Result<String> {
        let status = self.inspect_pod(sandbox)?;
        Ok(status["status"]["network"]["ip"].as_str().context("the sandbox has no address")?.to_owned())
    }

    /// `CONTAINER_RUNNING`, `CONTAINER_EXITED` and so on.
    pub fn container_state(&self, container: &str) -> Result<String> {
        Ok(self.inspect(container)?["status"]["state"].as_str().unwrap_or_default().to_owned())
    }

    /// `SANDBOX_READY` or `SANDBOX_NOTREADY`.
    pub fn pod_state(&self, sandbox: &str) -> Result<String> {
        Ok(self.inspect_pod(sandbox)?["status"]["state"].as_str().unwrap_or_default().to_owned())
    }

    /// StopPodSandbox and RemovePodSandbox.
    pub fn remove_pod(&self, sandbox: &str) -> Result<()> {
        self.ok(&["stopp", sandbox])?;
        self.ok(&["rmp", sandbox])?;
        Ok(())
    }

    /// The log file of a container of a pod, as the daemon writes it.
    pub fn log_file(&self, pod: &PodSpec, container: &str) -> PathBuf {
        self.log_dir(pod).join(format!("{container}.log"))
    }

    fn log_dir(&self, pod: &PodSpec) -> PathBuf {
        self.dir.join("logs").join(pod.uid())
    }

    fn pod_file(&self, pod: &PodSpec) -> Result<String> {
        let mut config = pod.config.clone();
        if config["log_directory"] == "" {
            let dir = self.log_dir(pod);
            fs::create_dir_all(&dir)?;
            config["log_directory"] = Value::from(dir.to_string_lossy());
        }
        self.write("pod", &config)
    }

    fn write(&self, kind: &str, config: &Value) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = self.dir.join(format!("crictl-{kind}-{}.json", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, serde_json::to_vec_pretty(config)?).with_context(|| path.display().to_string())?;
        Ok(path.display().to_string())
    }

    fn prefix(&self) -> Result<Vec<String>> {
        let endpoint = format!("unix://{}", self.socket.display());
        let crictl = crictl_path()?.display().to_string();
        // No file: a crictl.yaml of the machine must not count.
        let config = self.dir.join("crictl.yaml");
        if !config.exists() {
            fs::write(&config, format!("runtime-endpoint: {endpoint}\nimage-endpoint: {endpoint}\n"))?;
        }
        let netns = format!("--net={}", self.netns.display());
        Ok(vec![netns, crictl, "--config".into(), config.display().to_string(), "--timeout".into(), "100s".into()])
    }
}
