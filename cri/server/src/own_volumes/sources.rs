//! Opens sources and asks the kernel what they are.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, mkdirat, openat, statx};
use rustix::io::Errno;

use super::judge::own;
use super::mounts::{Found, Mounts};

/// The source of one mount, held open.
#[derive(Debug)]
pub(crate) struct Source {
    file: OwnedFd,
    /// Whether it is the pod's own.
    pub own: bool,
}

impl Source {
    /// A path that leads to what is open and to nothing else, for as long as this lives: for processes of the node
    /// that may look into the daemon.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }
}

/// Opens the sources of the mounts of a container whose pod has this uid. One that does not exist yet becomes a
/// directory where it is the pod's own, as with other runtimes. Blocks; a source that cannot be opened is an error of
/// its own.
///
/// # Errors
/// What is mounted on the node cannot be read.
pub(crate) fn open(paths: &[PathBuf], uid: &str, roots: &[PathBuf]) -> io::Result<Vec<io::Result<Source>>> {
    let opened: Vec<io::Result<(OwnedFd, Found)>> = paths.iter().map(|path| look(path)).collect();
    let pod = Pod::read(uid, roots)?;
    let judge = |(path, opened): (&PathBuf, io::Result<(OwnedFd, Found)>)| match opened {
        Ok((file, found)) => Ok(Source { file, own: pod.owns(&found) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, uid, roots),
        Err(error) => Err(error),
    };
    Ok(paths.iter().zip(opened).map(judge).collect())
}

/// What is known of the pod and of the node's mounts. Whatever was opened before it was read can be judged by it.
struct Pod {
    dirs: Vec<Found>,
    mounts: Mounts,
}

impl Pod {
    fn read(uid: &str, roots: &[PathBuf]) -> io::Result<Pod> {
        let dirs = roots.iter().filter_map(|root| pod_dir(root, uid)).collect();
        Ok(Pod { dirs, mounts: Mounts::parse(&std::fs::read("/proc/self/mountinfo")?) })
    }

    fn owns(&self, found: &Found) -> bool {
        self.dirs.iter().any(|dir| own(found, dir, &self.mounts))
    }
}

/// The directory that kubelet has for a pod. A uid is one name, not a path.
fn pod_dir(root: &Path, uid: &str) -> Option<Found> {
    if uid.is_empty() || uid.contains('/') || uid == "." || uid == ".." {
        return None;
    }
    look(&root.join("pods").join(uid)).ok().map(|(_, found)| found)
}

/// Makes what is missing of a path below a directory that is the pod's own, without following a link.
fn make(path: &Path, uid: &str, roots: &[PathBuf]) -> io::Result<Source> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let there = path.ancestors().skip(1).find_map(|above| Some((above, look(above).ok()?)));
    let (above, (mut dir, found)) = there.ok_or_else(missing)?;
    if !Pod::read(uid, roots)?.owns(&found) {
        return Err(missing());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for part in path.strip_prefix(above).map_err(|_| missing())?.components() {
        let Component::Normal(name) = part else { return Err(missing()) };
        match mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => dir = openat(&dir, name, flags, Mode::empty())?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Source { file: dir, own: true })
}

fn look(path: &Path) -> io::Result<(OwnedFd, Found)> {
    let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mount = statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok((file, Found { mount, path }))
}
