//! The processes behind a VM, whose end is the end of the sandbox.

use std::os::fd::{AsFd, OwnedFd};

use cofferdam_pod_api::PodError;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::serve::{Context, Token, kind};

/// How long the death of a process is waited for that explains why a port was closed.
pub(super) const CAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Names and pidfds; the VMM is the first.
#[derive(Default)]
pub(super) struct Watched(Vec<(String, OwnedFd)>);

impl Watched {
    /// Watches these from now on.
    pub(super) fn new(cx: &Context, processes: Vec<(String, OwnedFd)>) -> Result<Self, PodError> {
        for (index, (name, pidfd)) in processes.iter().enumerate() {
            let token = Token::new(kind::WATCHED, index as u32);
            let added = cx.reactor.add(pidfd, token, EventFlags::IN | EventFlags::ONESHOT);
            added.map_err(|error| PodError::Failed(format!("watching {name}: {error}")))?;
        }
        Ok(Watched(processes))
    }

    /// The name of a process that has ended, or ends within that time.
    pub(super) fn dead(&self, timeout: Option<&Timespec>) -> Option<String> {
        let mut polls: Vec<PollFd<'_>> = self.0.iter().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)).collect();
        poll(&mut polls, timeout).ok()?;
        let mut dead = polls.iter().position(|poll| !poll.revents().is_empty())?;
        // The others end by themselves when the first, the VMM, is about to: then that is the cause.
        if dead > 0 && poll(&mut polls[..1], Some(&CAUSE)).is_ok_and(|ready| ready > 0) {
            dead = 0;
        }
        Some(self.0[dead].0.clone())
    }

    /// How a process ended, for people. Its status stays for who reaps it.
    pub(super) fn how_it_ended(&self, name: &str) -> String {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let found = self.0.iter().find(|(other, _)| other == name);
        let status = found.and_then(|(_, pidfd)| waitid(WaitId::PidFd(pidfd.as_fd()), options).ok().flatten());
        let code = status
            .and_then(|status| status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)));
        code.map_or_else(|| format!("{name} ended"), |code| ended(name, code))
    }
}

/// An end in words. Codes above 128 are signals, as shells have it.
pub(super) fn ended(name: &str, code: i32) -> String {
    match code - 128 {
        signal if signal > 0 => format!("{name} was killed by signal {signal}"),
        _ => format!("{name} ended with exit code {code}"),
    }
}
