//! Follows a directory by inotify.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cofferdam_netpolicy::{ClusterSnapshot, PolicySource};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use crate::load::{Loader, SourceConfig};

/// Quiet time that ends a burst of events.
const QUIET: Duration = Duration::from_millis(2);
/// The longest that a burst is waited for.
const BURST: Duration = Duration::from_millis(20);

/// `[cluster] source = "directory"`.
pub struct DirectorySource {
    snapshots: watch::Sender<Arc<ClusterSnapshot>>,
    /// Its end closes the channel of events, which ends the thread.
    _watcher: Arc<Mutex<RecommendedWatcher>>,
}

impl DirectorySource {
    /// Reads the directory, then follows it in a thread of its own.
    ///
    /// # Errors
    /// inotify is not to be had.
    pub fn start(directory: &Path, config: SourceConfig) -> Result<Self, notify::Error> {
        let (send, events) = channel();
        // The receiver is gone only when the source is.
        let watcher = notify::recommended_watcher(move |event| _ = send.send(event))?;
        let watcher = Arc::new(Mutex::new(watcher));
        // Watched before it is read, so that no change falls between.
        follow_path(&watcher, directory)?;
        let mut loader = Loader::new(directory, config);
        let snapshots = watch::Sender::new(Arc::new(loader.load()));
        let (to, weak, directory) = (snapshots.clone(), Arc::downgrade(&watcher), directory.to_owned());
        std::thread::Builder::new().name("cluster-dir".into()).spawn(move || {
            while burst(&events) {
                if let Some(watcher) = weak.upgrade()
                    && let Err(error) = follow_path(&watcher, &directory)
                {
                    tracing::error!(directory = %directory.display(), %error, "changes of cluster objects are not seen");
                }
                publish(&to, loader.load());
            }
        })?;
        Ok(DirectorySource { snapshots, _watcher: watcher })
    }
}

fn publish(to: &watch::Sender<Arc<ClusterSnapshot>>, snapshot: ClusterSnapshot) {
    for warning in &snapshot.warnings {
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

/// Watches the directory and its parent, or while it does not exist its nearest ancestor. Done again after each change, since a directory that
/// was removed and made anew is another one; watching the same one twice is one watch.
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

/// Waits for a change and the end of its burst; `false`: the source is gone.
fn burst(events: &Receiver<notify::Result<notify::Event>>) -> bool {
    let interesting = |event: &notify::Result<notify::Event>| {
        event.as_ref().map_or(true, |e| !matches!(e.kind, EventKind::Access(access) if !is_close_write(access)))
    };
    loop {
        match events.recv() {
            Ok(event) if interesting(&event) => break,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    let end = Instant::now() + BURST;
    while Instant::now() < end {
        match events.recv_timeout(QUIET) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

fn is_close_write(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    access == AccessKind::Close(AccessMode::Write)
}

impl PolicySource for DirectorySource {
    fn snapshots(&self) -> watch::Receiver<Arc<ClusterSnapshot>> {
        self.snapshots.subscribe()
    }
}
