//! A directory that is read again whenever inotify reports a change, and whenever somebody has to know.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cofferdam_tenant_cluster::ClusterFacts;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::{oneshot, watch};

use crate::changes::Changes;
use crate::config::SourceConfig;
use crate::kinds::ObjectKinds;
use crate::load::{GRACE, Loader, Removals};

/// Quiet time that ends a burst of events.
const QUIET: Duration = Duration::from_millis(2);
/// The longest that a burst is waited for.
const BURST: Duration = Duration::from_millis(20);

/// `[cluster] source = "directory"`: facts and objects of the kinds `K`, as the files of a directory have them now.
pub struct Directory<K: ObjectKinds> {
    snapshots: watch::Sender<Arc<K::Snapshot>>,
    shared: Arc<Shared>,
}

/// What the thread is asked for.
struct Shared {
    asked: Mutex<Asked>,
    /// An eventfd that wakes it.
    wake: OwnedFd,
}

#[derive(Default)]
struct Asked {
    /// A load, whoever waits for it.
    load: bool,
    /// Files that have gone are meant to have.
    meant: bool,
    waiting: Vec<oneshot::Sender<()>>,
    config: Option<SourceConfig>,
    ended: bool,
}

impl<K: ObjectKinds> Directory<K> {
    /// Reads the directory, then follows it in a thread of its own. `kept`: the file that keeps the last good state for
    /// the next start.
    ///
    /// # Errors
    /// inotify cannot be used.
    pub fn start(directory: &Path, kept: Option<&Path>, config: SourceConfig) -> io::Result<Self> {
        // Watched before it is read, so that no change falls between.
        let mut changes = Changes::new(directory)?;
        let mut loader = Loader::<K>::new(directory, config);
        if let Some(kept) = kept {
            loader = loader.keep(kept);
        }
        let first = loader.load_with(Some(&mut changes), Removals::Meant);
        warn(&first);
        let snapshots = watch::Sender::new(Arc::new(first));
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { asked: Mutex::default(), wake });
        let (to, asked) = (snapshots.clone(), shared.clone());
        std::thread::Builder::new().name("cluster-dir".into()).spawn(move || {
            while let Some(order) = asked.next(&mut changes, loader.is_pending()) {
                if let Err(error) = changes.follow() {
                    tracing::error!(%error, "changes of cluster objects are not seen until somebody asks");
                }
                order.config.into_iter().for_each(|config| loader.set_config(config));
                let removals = if order.meant { Removals::Meant } else { Removals::Held };
                publish(&to, loader.load_with(Some(&mut changes), removals));
                // Whoever has stopped waiting needs no answer.
                order.waiting.into_iter().for_each(|waiter| _ = waiter.send(()));
            }
        })?;
        Ok(Directory { snapshots, shared })
    }

    /// Snapshots of the directory, the newest only.
    pub fn snapshots(&self) -> watch::Receiver<Arc<K::Snapshot>> {
        self.snapshots.subscribe()
    }

    /// Takes another configuration; a new snapshot follows.
    pub fn set_config(&self, config: SourceConfig) {
        self.shared.ask(|asked| asked.config = Some(config));
    }

    /// For whoever has to know what is in the directory now.
    pub fn refresher(&self) -> Refresher {
        Refresher(self.shared.clone())
    }
}

impl<K: ObjectKinds> Drop for Directory<K> {
    fn drop(&mut self) {
        self.shared.ask(|asked| asked.ended = true);
    }
}

/// Waits until the newest snapshot has what the directory held at the time of the call.
#[derive(Clone)]
pub struct Refresher(Arc<Shared>);

impl Refresher {
    /// Returns once everything that was complete in the directory is in the snapshot. One load serves all who wait.
    pub async fn refresh(&self) {
        self.wait(false).await;
    }

    /// The same after files were removed on purpose: their objects are gone as well, where otherwise a file that
    /// disappears could be one that is just being replaced.
    pub async fn refresh_after_removal(&self) {
        self.wait(true).await;
    }

    async fn wait(&self, meant: bool) {
        let (done, answer) = oneshot::channel();
        self.0.ask(|asked| {
            asked.meant |= meant;
            asked.waiting.push(done);
        });
        // The thread ends only with the source, whose last snapshot is the newest.
        let _ = answer.await;
    }
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, change: impl FnOnce(&mut Asked)) {
        {
            let mut asked = self.asked();
            asked.load = true;
            change(&mut asked);
        }
        // It fails only when the thread has been woken 2^64 times already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Waits for a reason to load: an order, a change and the end of its burst, or that something is `pending`. `None`:
    /// the source is gone.
    fn next(&self, changes: &mut Changes, pending: bool) -> Option<Asked> {
        let since = Instant::now();
        loop {
            self.poll(changes, pending.then(|| GRACE.saturating_sub(since.elapsed())));
            // A queue that cannot be read tells nothing: then look.
            let changed = changes.drain().unwrap_or(true);
            if changed && !self.asked().load {
                self.burst(changes);
            }
            let asked = std::mem::take(&mut *self.asked());
            if asked.ended {
                return None;
            }
            if asked.load || changed || (pending && since.elapsed() >= GRACE) {
                return Some(asked);
            }
        }
    }

    /// Waits for the end of a burst of events, unless somebody waits for the load.
    fn burst(&self, changes: &mut Changes) {
        let end = Instant::now() + BURST;
        while Instant::now() < end && self.poll(changes, Some(QUIET)) && !self.asked().load {
            if changes.drain().is_err() {
                return;
            }
        }
    }

    /// Whether something came within this time.
    fn poll(&self, changes: &Changes, limit: Option<Duration>) -> bool {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds =
            [PollFd::from_borrowed_fd(changes.as_fd(), PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        let came = poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0);
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        came
    }
}

fn warn<S: AsRef<ClusterFacts>>(snapshot: &S) {
    for warning in &snapshot.as_ref().warnings {
        tracing::warn!("{warning}");
    }
}

fn publish<S: AsRef<ClusterFacts> + PartialEq>(to: &watch::Sender<Arc<S>>, snapshot: S) {
    to.send_if_modified(|current| {
        let changed = **current != snapshot;
        if changed {
            // Told once, not whenever somebody asks.
            if current.as_ref().as_ref().warnings != snapshot.as_ref().warnings {
                warn(&snapshot);
            }
            *current = Arc::new(snapshot);
        }
        changed
    });
}
