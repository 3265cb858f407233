//! A directory that is read again whenever inotify reports a change.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cofferdam_tenant_cluster::ClusterFacts;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use crate::config::SourceConfig;
use crate::kinds::ObjectKinds;
use crate::load::Loader;

/// Quiet time that ends a burst of events.
const QUIET: Duration = Duration::from_millis(2);
/// The longest that a burst is waited for.
const BURST: Duration = Duration::from_millis(20);

/// `[cluster] source = "directory"`: facts and objects of the kinds `K`, as the files of a directory have them now.
pub struct Directory<K: ObjectKinds> {
    snapshots: watch::Sender<Arc<K::Snapshot>>,
    config: Arc<Mutex<SourceConfig>>,
    /// Weak, since the thread ends with the last sender that the watcher holds.
    messages: std::sync::Weak<Sender<Message>>,
    /// Its end closes the channel of events, which ends the thread.
    _watcher: Arc<Mutex<RecommendedWatcher>>,
}

impl<K: ObjectKinds> Directory<K> {
    /// Reads the directory, then follows it in a thread of its own.
    ///
    /// # Errors
    /// inotify cannot be used.
    pub fn start(directory: &Path, config: SourceConfig) -> Result<Self, notify::Error> {
        let (send, events) = channel();
        // The receiver is gone only when the source is.
        let send = Arc::new(send);
        let messages = Arc::downgrade(&send);
        let watcher = notify::recommended_watcher(move |event| _ = send.send(Message::Event(event)))?;
        let watcher = Arc::new(Mutex::new(watcher));
        // Watched before it is read, so that no change falls between.
        follow_path(&watcher, directory)?;
        let mut loader = Loader::<K>::new(directory, config.clone());
        let config = Arc::new(Mutex::new(config));
        let latest = config.clone();
        let snapshots = watch::Sender::new(Arc::new(loader.load()));
        let (to, weak, directory) = (snapshots.clone(), Arc::downgrade(&watcher), directory.to_owned());
        std::thread::Builder::new().name("cluster-dir".into()).spawn(move || {
            while let Some(waiting) = burst(&events) {
                if let Some(watcher) = weak.upgrade()
                    && let Err(error) = follow_path(&watcher, &directory)
                {
                    tracing::error!(directory = %directory.display(), %error, "changes of cluster objects are not seen");
                }
                loader.set_config(latest.lock().unwrap_or_else(PoisonError::into_inner).clone());
                publish(&to, loader.load());
                // Whoever has stopped waiting needs no answer.
                waiting.into_iter().for_each(|waiter| _ = waiter.send(()));
            }
        })?;
        Ok(Directory { snapshots, config, messages, _watcher: watcher })
    }

    /// Snapshots of the directory, the newest only.
    pub fn snapshots(&self) -> watch::Receiver<Arc<K::Snapshot>> {
        self.snapshots.subscribe()
    }

    /// Takes another configuration; a new snapshot follows.
    pub fn set_config(&self, config: SourceConfig) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        let (done, _) = channel();
        self.send(Message::Refresh(done));
    }

    /// Waits until what is in the directory now is in the snapshot. `false`: that took longer than `patience`. Blocks.
    pub fn refresh(&self, patience: Duration) -> bool {
        let (done, answer) = channel();
        self.send(Message::Refresh(done));
        answer.recv_timeout(patience).is_ok()
    }

    fn send(&self, message: Message) {
        if let Some(messages) = self.messages.upgrade() {
            // The thread is gone only when it panicked.
            let _ = messages.send(message);
        }
    }
}

fn publish<S: AsRef<ClusterFacts> + PartialEq>(to: &watch::Sender<Arc<S>>, snapshot: S) {
    for warning in &snapshot.as_ref().warnings {
        tracing::warn!("{warning}");
    }
    to.send_if_modified(|current| {
        let changed = **current != snapshot;
        if changed {
            *current = Arc::new(snapshot);
        }
        changed
    });
}

/// Watches the directory and its parent, or while it does not exist its nearest ancestor. This is repeated after each
/// change, since a directory that was removed and made again is another one; watching the same one twice is one watch.
fn follow_path(watcher: &Mutex<RecommendedWatcher>, directory: &Path) -> Result<(), notify::Error> {
    let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
    let nearest = || directory.ancestors().find(|p| p.is_dir());
    let mut last = None;
    // What appears between the look and the watch is looked at again.
    while let Some(path) = nearest().filter(|p| Some(*p) != last) {
        last = Some(path);
        for path in [Some(path), path.parent()].into_iter().flatten() {
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Err(error) if path.is_dir() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// What wakes the thread up.
enum Message {
    /// Something happened on the disk.
    Event(notify::Result<notify::Event>),
    /// Somebody wants a new snapshot and waits for it.
    Refresh(Sender<()>),
}

/// Waits for a change and the end of its burst. Returns whoever waits for the new snapshot; `None`: the source is gone.
fn burst(messages: &Receiver<Message>) -> Option<Vec<Sender<()>>> {
    let interesting = |event: &notify::Result<notify::Event>| {
        event.as_ref().map_or(true, |e| !matches!(e.kind, EventKind::Access(access) if !is_close_write(access)))
    };
    let mut waiting = Vec::new();
    loop {
        match messages.recv().ok()? {
            Message::Refresh(waiter) => {
                waiting.push(waiter);
                break;
            }
            Message::Event(event) if interesting(&event) => break,
            Message::Event(_) => {}
        }
    }
    let end = Instant::now() + BURST;
    while Instant::now() < end {
        match messages.recv_timeout(QUIET) {
            Ok(Message::Refresh(waiter)) => waiting.push(waiter),
            Ok(Message::Event(_)) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    Some(waiting)
}

fn is_close_write(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    access == AccessKind::Close(AccessMode::Write)
}
