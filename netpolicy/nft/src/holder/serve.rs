//! The holder's side, and the protocol between it and the daemon.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Name of the holder's socket below STATE.
pub const SOCKET: &str = "nft-holder.sock";

/// A path of any length, reached through its directory's descriptor. Keep the file while the path is used.
pub(super) fn short_path(state: &Path) -> io::Result<(File, PathBuf)> {
    let dir = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(state)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    Ok((dir, path))
}

/// Listens anew; what an earlier holder left is removed.
pub(super) fn bind(state: &Path) -> io::Result<UnixListener> {
    unbind(state)?;
    let (_dir, path) = short_path(state)?;
    let listener = UnixListener::bind(&path)?;
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o600))?;
    Ok(listener)
}

/// Removes the socket's file.
pub(super) fn unbind(state: &Path) -> io::Result<()> {
    let (_dir, path) = short_path(state)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The holder's main function: serves until told to end. Never returns an error for a client's fault.
///
/// # Errors
/// If stdin is not a listening socket or stdout not a socket.
pub fn holder_main() -> io::Result<()> {
    // A session of its own: a signal to the daemon's terminal or process group does not end it.
    let _ = rustix::process::setsid();
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let netlink = io::stdout().as_fd().try_clone_to_owned()?;
    listener.set_nonblocking(true)?;
    rustix::net::getsockname(&netlink)?;
    let mut clients: Vec<UnixStream> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(&listener, PollFlags::IN)];
        fds.extend(clients.iter().map(|client| PollFd::new(client, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut still_there = Vec::new();
        for (mut client, ready) in clients.drain(..).zip(&ready[1..]) {
            let mut order = [0];
            match ready.then(|| client.read(&mut order)) {
                Some(Ok(1)) if order[0] == b'Q' => return Ok(()),
                None => still_there.push(client),
                Some(_) => {}
            }
        }
        clients = still_there;
        if ready[0]
            && let Ok((client, _)) = listener.accept()
            && give_socket(&client, netlink.as_fd()).is_ok()
        {
            clients.push(client);
        }
    }
}

/// Gives a client of the same user the netlink socket.
fn give_socket(client: &UnixStream, netlink: BorrowedFd<'_>) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(client)?;
    if peer.uid != rustix::process::geteuid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let pid = std::process::id().to_ne_bytes();
    let fds = [netlink];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(client, &[IoSlice::new(&pid)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the netlink socket and the holder's process id.
pub(super) fn receive(stream: &UnixStream) -> io::Result<(OwnedFd, u32)> {
    let mut pid = [0; 4];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut pid)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match fd {
        Some(fd) if got.bytes == 4 => Ok((fd, u32::from_ne_bytes(pid))),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the holder ended instead of giving its socket")),
    }
}

/// Returns when the other side closes.
pub(super) fn wait_for_end(stream: &UnixStream) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(stream, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => return Ok(()),
        }
    }
}
