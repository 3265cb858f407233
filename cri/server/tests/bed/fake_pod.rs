//! A pod without any process, behind the trait of the pod protocol's client.
//!
//! Containers follow the states of real ones; tests end them ([`FakePod::exit`]), kill the sandbox ([`FakePod::die`])
//! and make operations fail ([`FakePod::fail_next`]).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use cofferdam_sandbox::{
    ByteStreams, ContainerExit, ContainerSpec, ContainerState, ContainerStatus, ExecSpec, PodClient, PodError,
    PodEvent, Stats, Streams,
};
use oci_spec::runtime::LinuxResources;
use tokio::io::AsyncWriteExt;
use tokio::sync::{broadcast, mpsc, oneshot};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// The operations, for injected failures and for the record of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FakeOp {
    Create,
    Start,
    Signal,
    Delete,
    Update,
    List,
    Stats,
    ReopenLog,
    Exec,
    Attach,
    Dial,
}

/// What an exec answers: its output and exit code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FakeExec {
    /// Written to standard output.
    pub stdout: Vec<u8>,
    /// Written to standard error.
    pub stderr: Vec<u8>,
    /// Exit code; `None`: it runs until it is killed (137).
    pub code: Option<i32>,
}

/// A pod without any process, behind the trait of the pod protocol's client.
pub struct FakePod {
    state: Mutex<State>,
    events: broadcast::Sender<PodEvent>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, ContainerStatus>,
    failures: HashMap<FakeOp, VecDeque<PodError>>,
    calls: Vec<(FakeOp, String)>,
    specs: Vec<ContainerSpec>,
    execs: VecDeque<FakeExec>,
    gone: Option<String>,
    next_pid: u32,
    ignore_term: bool,
    mute: bool,
}

impl Default for FakePod {
    fn default() -> Self {
        FakePod { state: Mutex::new(State { next_pid: 1000, ..State::default() }), events: broadcast::channel(256).0 }
    }
}

impl FakePod {
    /// An empty pod.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next call of this operation fails like this.
    pub fn fail_next(&self, op: FakeOp, error: PodError) {
        lock(&self.state).failures.entry(op).or_default().push_back(error);
    }

    /// The next exec answers this; without one it prints nothing and exits 0.
    pub fn answer_exec(&self, exec: FakeExec) {
        lock(&self.state).execs.push_back(exec);
    }

    /// Containers no longer end by SIGTERM.
    pub fn ignore_term(&self) {
        lock(&self.state).ignore_term = true;
    }

    /// It answers nothing any more, as a shim whose guest is hung.
    pub fn mute(&self) {
        lock(&self.state).mute = true;
    }

    /// Whether it does.
    pub fn is_mute(&self) -> bool {
        lock(&self.state).mute
    }

    /// Calls so far: the operation and its container.
    pub fn calls(&self) -> Vec<(FakeOp, String)> {
        lock(&self.state).calls.clone()
    }

    /// What containers were made of, in order.
    pub fn specs(&self) -> Vec<ContainerSpec> {
        lock(&self.state).specs.clone()
    }

    /// The containers that it knows, by id.
    pub fn containers(&self) -> Vec<String> {
        lock(&self.state).containers.keys().cloned().collect()
    }

    /// A container ends by itself.
    pub fn exit(&self, container: &str, code: i32, oom: bool) {
        let exit = ContainerExit { container: container.into(), code, oom, at: SystemTime::now() };
        {
            let mut state = lock(&self.state);
            let Some(status) = state.containers.get_mut(container) else { return };
            if status.state == ContainerState::Exited {
                return;
            }
            *status =
                ContainerStatus { state: ContainerState::Exited, pid: 0, exit: Some(exit.clone()), ..status.clone() };
        }
        let _ = self.events.send(PodEvent::Exited(exit));
    }

    /// The shim dies: every later call says so.
    pub fn die(&self, reason: &str) {
        lock(&self.state).gone = Some(reason.into());
        let _ = self.events.send(PodEvent::Gone(reason.into()));
    }

    async fn call(&self, op: FakeOp, container: &str) -> Result<(), PodError> {
        let mut events = self.events.subscribe();
        let called = self.called(op, container);
        if self.is_mute() && !matches!(called, Err(PodError::Gone(_))) {
            loop {
                if let Ok(PodEvent::Gone(reason)) = events.recv().await {
                    return Err(PodError::Gone(reason));
                }
            }
        }
        called
    }

    fn called(&self, op: FakeOp, container: &str) -> Result<(), PodError> {
        let mut state = lock(&self.state);
        state.calls.push((op, container.into()));
        if let Some(reason) = &state.gone {
            return Err(PodError::Gone(reason.clone()));
        }
        match state.failures.get_mut(&op).and_then(VecDeque::pop_front) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn status(&self, container: &str) -> Result<ContainerStatus, PodError> {
        let unknown = || PodError::NotFound(format!("container {container} is not known"));
        lock(&self.state).containers.get(container).cloned().ok_or_else(unknown)
    }

    fn running(&self, container: &str) -> Result<(), PodError> {
        match self.status(container)?.state {
            ContainerState::Running => Ok(()),
            _ => Err(PodError::State(format!("container {container} is not running"))),
        }
    }
}

async fn play(
    exec: FakeExec,
    mut stdout: tokio::io::DuplexStream,
    mut stderr: tokio::io::DuplexStream,
    killed: oneshot::Receiver<()>,
) -> i32 {
    let _ = stdout.write_all(&exec.stdout).await;
    let _ = stderr.write_all(&exec.stderr).await;
    match exec.code {
        Some(code) => code,
        None => match killed.await {
            Ok(()) => 137,
            Err(_) => std::future::pending().await,
        },
    }
}

fn streams(exec: FakeExec, stdin: bool, stdout: bool, stderr: bool, kill: bool) -> Streams {
    let (out_read, out_write) = tokio::io::duplex(64 * 1024);
    let (err_read, err_write) = tokio::io::duplex(64 * 1024);
    let (exit_in, exit) = oneshot::channel();
    let (kill_in, killed) = oneshot::channel();
    let (resize, mut sizes) = mpsc::channel(4);
    tokio::spawn(async move { while sizes.recv().await.is_some() {} });
    tokio::spawn(async move {
        let code = play(exec, out_write, err_write, killed).await;
        let _ = exit_in.send(Ok(code));
    });
    Streams {
        stdin: stdin.then(|| Box::new(tokio::io::sink()) as _),
        stdout: stdout.then(|| Box::new(out_read) as _),
        stderr: stderr.then(|| Box::new(err_read) as _),
        resize,
        exit,
        kill: kill.then_some(kill_in),
    }
}

#[async_trait]
impl PodClient for FakePod {
    async fn create(&self, spec: &ContainerSpec, _log: Option<OwnedFd>) -> Result<ContainerStatus, PodError> {
        self.call(FakeOp::Create, &spec.id).await?;
        let mut state = lock(&self.state);
        if state.containers.contains_key(&spec.id) {
            return Err(PodError::State(format!("container {} exists already", spec.id)));
        }
        state.next_pid += 1;
        state.specs.push(spec.clone());
        let (id, pid) = (spec.id.clone(), state.next_pid);
        let status = ContainerStatus { id, state: ContainerState::Created, pid, started_at: None, exit: None };
        state.containers.insert(spec.id.clone(), status.clone());
        Ok(status)
    }

    async fn start(&self, container: &str) -> Result<ContainerStatus, PodError> {
        self.call(FakeOp::Start, container).await?;
        let mut state = lock(&self.state);
        let status = state.containers.get_mut(container);
        let status = status.ok_or_else(|| PodError::NotFound(format!("container {container} is not known")))?;
        if status.state != ContainerState::Created {
            return Err(PodError::State(format!("container {container} was started already")));
        }
        status.state = ContainerState::Running;
        status.started_at = Some(SystemTime::now());
        Ok(status.clone())
    }

    async fn signal(&self, container: &str, signal: i32, _all: bool) -> Result<(), PodError> {
        self.call(FakeOp::Signal, container).await?;
        self.status(container)?;
        let ignored = signal != 9 && lock(&self.state).ignore_term;
        if !ignored && [2, 9, 15].contains(&signal) {
            self.exit(container, 128 + signal, false);
        }
        Ok(())
    }

    async fn delete(&self, container: &str) -> Result<(), PodError> {
        self.call(FakeOp::Delete, container).await?;
        let mut state = lock(&self.state);
        if state.containers.get(container).is_some_and(|status| status.state == ContainerState::Running) {
            return Err(PodError::State(format!("container {container} is running")));
        }
        state.containers.remove(container);
        Ok(())
    }

    async fn update(&self, container: &str, resources: &LinuxResources) -> Result<LinuxResources, PodError> {
        self.call(FakeOp::Update, container).await?;
        self.status(container)?;
        Ok(resources.clone())
    }

    async fn list(&self) -> Result<Vec<ContainerStatus>, PodError> {
        self.call(FakeOp::List, "").await?;
        Ok(lock(&self.state).containers.values().cloned().collect())
    }

    async fn stats(&self, container: &str) -> Result<Stats, PodError> {
        self.call(FakeOp::Stats, container).await?;
        if !container.is_empty() {
            self.status(container)?;
        }
        Ok(Stats { cpu_ns: Some(1_000_000), memory_working_set: Some(1 << 20), pids: Some(1), ..Stats::default() })
    }

    async fn reopen_log(&self, container: &str, _log: OwnedFd) -> Result<(), PodError> {
        self.call(FakeOp::ReopenLog, container).await?;
        self.status(container).map(drop)
    }

    async fn exec(&self, spec: &ExecSpec, stdout: bool, stderr: bool) -> Result<Streams, PodError> {
        self.call(FakeOp::Exec, &spec.container).await?;
        self.running(&spec.container)?;
        let exec = lock(&self.state).execs.pop_front().unwrap_or(FakeExec { code: Some(0), ..FakeExec::default() });
        Ok(streams(exec, spec.stdin, stdout, stderr, true))
    }

    async fn attach(&self, container: &str, stdin: bool, stdout: bool, stderr: bool) -> Result<Streams, PodError> {
        self.call(FakeOp::Attach, container).await?;
        self.running(container)?;
        Ok(streams(FakeExec::default(), stdin, stdout, stderr, false))
    }

    async fn dial(&self, port: u16) -> Result<ByteStreams, PodError> {
        self.call(FakeOp::Dial, &port.to_string()).await?;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (mut read, mut write) = tokio::io::split(ours);
        // An echo server.
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
        let (read, write) = tokio::io::split(theirs);
        Ok(ByteStreams { read: Box::new(read), write: Box::new(write) })
    }

    fn events(&self) -> broadcast::Receiver<PodEvent> {
        self.events.subscribe()
    }
}
