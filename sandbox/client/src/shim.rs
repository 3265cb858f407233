//! One live shim.
//!
//! ```text
//!  connected ──connection breaks, process lives──> reconnecting ──> connected
//!      └──────────── process ends ──────────────────────┴─────────> gone (final)
//! ```
//! Only `watch` (one task a shim) changes that state.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam_pod_api::{Boot, BootConfig, BootedProcesses, Op, Outcome, Stop, event};
use cofferdam_sandbox::{ContainerExit, ContainerState, PodClient, PodError, PodEvent, ProcessIdentity};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::{broadcast, watch};

use crate::death::{self, PidFd};
use crate::lock::lock;
use crate::requester::{Connection, Lost, Requester, unexpected};
use crate::socket;

/// Events that a slow subscriber may be behind before it misses some (and must list).
const EVENTS: usize = 256;

/// How often, and how far apart, a lost connection to a live shim is tried again before the shim is given up and
/// killed.
const RETRIES: u32 = 20;
const RETRY: Duration = Duration::from_millis(250);

/// How long a lost connection may take to be made again, all tries together.
const RECONNECT: Duration = Duration::from_secs(15);

/// How long a shim may take to kill its containers and end, hung or not: its own guest has less.
const STOP: Duration = Duration::from_secs(5);

/// How long a killed shim may take to be gone, with all it ran.
const KILLED: Duration = Duration::from_secs(5);

/// One live shim. Made by [`crate::Launcher`].
pub struct Shim {
    dir: PathBuf,
    identity: ProcessIdentity,
    pidfd: Arc<PidFd>,
    state: Mutex<State>,
    ended: watch::Sender<bool>,
}

struct State {
    requester: Result<Arc<Requester>, PodError>,
    events: broadcast::Sender<PodEvent>,
    /// Containers whose exit was announced: after a reconnect they are not announced again.
    announced: HashSet<String>,
    /// Why it did not end as it was asked to: the shim's own last word, or why it was killed. The first counts.
    last_word: Option<String>,
    /// Whole, once the shim is gone.
    gone: Option<String>,
}

enum Reconnected {
    Connected(Connection),
    /// There is no shim any more.
    Ended,
    /// It lives and does not answer as it should.
    Failed,
}

impl Shim {
    pub(crate) fn start(
        dir: PathBuf,
        identity: ProcessIdentity,
        pidfd: Arc<PidFd>,
        connection: Connection,
    ) -> Arc<Self> {
        let state = State {
            requester: Ok(connection.requester.clone()),
            events: broadcast::channel(EVENTS).0,
            announced: HashSet::new(),
            last_word: None,
            gone: None,
        };
        let shim = Arc::new(Shim { dir, identity, pidfd, state: Mutex::new(state), ended: watch::channel(false).0 });
        tokio::spawn(shim.clone().watch(connection));
        shim
    }

    /// The shim's process.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Why it is gone, once it is.
    pub fn gone(&self) -> Option<String> {
        lock(&self.state).gone.clone()
    }

    pub(crate) fn requester(&self) -> Result<Arc<Requester>, PodError> {
        let state = lock(&self.state);
        match &state.gone {
            Some(reason) => Err(PodError::Gone(reason.clone())),
            None => state.requester.clone(),
        }
    }

    pub(crate) fn forget_exit(&self, container: &str) {
        lock(&self.state).announced.remove(container);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<PodEvent> {
        let state = lock(&self.state);
        match &state.gone {
            None => state.events.subscribe(),
            Some(reason) => {
                let (sender, receiver) = broadcast::channel(1);
                let _ = sender.send(PodEvent::Gone(reason.clone()));
                receiver
            }
        }
    }

    /// Boots the VM behind the shim of a VM sandbox; answers once its agent is set up.
    pub async fn boot(&self, config: &BootConfig, fds: Vec<OwnedFd>) -> Result<BootedProcesses, PodError> {
        match self.requester()?.ask(Op::Boot(Boot::new(config)?), fds).await? {
            Outcome::Booted(booted) => booted.content(),
            _ => Err(unexpected()),
        }
    }

    /// Kills all containers, lets the shim record their exits and undo what it made, and waits for its end. A shim that
    /// does not answer is killed with all it ran. Answers why it did not end by this request alone, if it did not;
    /// success if it is gone already.
    ///
    /// # Errors
    /// It was killed and is still there.
    pub async fn stop(&self) -> Result<Option<String>, PodError> {
        let asked = async {
            if let Ok(requester) = self.requester() {
                let _ = requester.ask(Op::Stop(Stop {}), Vec::new()).await;
            }
            self.wait().await;
        };
        if tokio::time::timeout(STOP, asked).await.is_err() {
            self.give_up(&format!("its shim did not end within {STOP:?} and was killed"));
            if tokio::time::timeout(KILLED, self.wait()).await.is_err() {
                return Err(PodError::Failed(format!("its shim was killed and does not end within {KILLED:?}")));
            }
        }
        Ok(lock(&self.state).last_word.clone())
    }

    /// Kills the shim for this reason. Its containers follow, and then its end is told.
    pub fn give_up(&self, reason: &str) {
        tracing::warn!(pid = self.identity.pid, reason, "a shim is killed");
        lock(&self.state).last_word.get_or_insert_with(|| reason.to_owned());
        // A process that has ended needs no signal.
        let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
    }

    /// Kills the shim, and waits for its end, though not for ever.
    pub async fn kill(&self) {
        let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
        if tokio::time::timeout(KILLED, self.wait()).await.is_err() {
            tracing::error!(pid = self.identity.pid, "a shim was killed and does not end");
        }
    }

    /// Waits until it is gone, and what it ran is killed.
    pub async fn wait(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this shim, so this only ends when it is gone.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    fn announce(&self, kind: event::Kind) {
        match kind {
            event::Kind::Exited(exited) => self.exited(exited.into()),
            event::Kind::Gone(gone) => drop(lock(&self.state).last_word.get_or_insert(gone.reason)),
        }
    }

    fn exited(&self, exit: ContainerExit) {
        let mut state = lock(&self.state);
        if state.announced.insert(exit.container.clone()) {
            let _ = state.events.send(PodEvent::Exited(exit));
        }
    }

    async fn watch(self: Arc<Self>, first: Connection) {
        let mut connection = Some(first);
        while let Some(current) = connection.take() {
            let requester = current.requester.clone();
            let lost = match current.run(|kind| self.announce(kind)).await {
                Lost::Broken(lost) => lost,
                Lost::Hung(reason) => {
                    self.give_up(&reason);
                    requester.fail(&PodError::Gone(reason));
                    break;
                }
            };
            requester.fail(&lost);
            connection = self.reconnect(lost).await;
            if connection.is_some() {
                let shim = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = shim.catch_up().await {
                        tracing::warn!(%error, "exits missed while a shim could not be reached");
                    }
                });
            }
        }
        let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
        let status = self.pidfd.ended().await;
        self.conclude(status).await;
    }

    /// A lost connection is either the shim's end or an accident.
    async fn reconnect(&self, lost: PodError) -> Option<Connection> {
        lock(&self.state).requester = Err(lost.clone());
        match tokio::time::timeout(RECONNECT, self.try_reconnect(&lost)).await {
            Ok(Reconnected::Connected(connection)) => return Some(connection),
            Ok(Reconnected::Ended) => return None,
            Ok(Reconnected::Failed) | Err(_) => {}
        }
        self.give_up(&format!("its shim could not be reached any more: {lost}"));
        None
    }

    async fn try_reconnect(&self, lost: &PodError) -> Reconnected {
        for _ in 0..RETRIES {
            if tokio::time::timeout(RETRY, self.pidfd.ended()).await.is_ok() {
                return Reconnected::Ended;
            }
            tracing::warn!(pid = self.identity.pid, %lost, "the connection to a live shim is lost, trying again");
            if let Ok(socket) = socket::connect(&self.dir).await
                && let Ok(connection) = Connection::open(socket).await
            {
                lock(&self.state).requester = Ok(connection.requester.clone());
                return Reconnected::Connected(connection);
            }
        }
        Reconnected::Failed
    }

    /// The shim is dead: whatever it ran is killed, exits that it recorded are told, and then its end.
    async fn conclude(&self, status: Option<String>) {
        let dir = self.dir.clone();
        let records = tokio::task::spawn_blocking(move || death::kill_what_it_ran(&dir)).await.unwrap_or_default();
        records.exits.into_iter().for_each(|exit| self.exited(exit));
        let mut state = lock(&self.state);
        state.last_word = state.last_word.take().or(records.gone);
        let reason = state.last_word.clone().unwrap_or_else(|| match status {
            Some(status) => format!("its shim ended: {status}"),
            None => "its shim ended".into(),
        });
        tracing::info!(pid = self.identity.pid, reason, "a shim is gone");
        state.gone = Some(reason.clone());
        let _ = state.events.send(PodEvent::Gone(reason));
        drop(state);
        self.ended.send_replace(true);
    }

    // After a reconnect: exits that were missed are announced now.
    async fn catch_up(&self) -> Result<(), PodError> {
        for status in self.list().await? {
            if let (ContainerState::Exited, Some(exit)) = (status.state, status.exit) {
                self.exited(exit);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
