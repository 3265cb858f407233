//! The end of a VM: asked for, or found.

use std::time::{Duration, Instant, SystemTime};

use cofferdam_pod_api::{Empty, Gone, Op, Outcome, Stop, event};
use cofferdam_sandbox::{ContainerExit, ContainerState, PodError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::AsFd;

use super::forward::Expects;
use super::{Phase, RemoteBackend};
use crate::serve::{Context, End, Fault, Origin};

/// How long the guest may take to end its containers before it is killed with them.
const STOP: Duration = Duration::from_secs(5);

/// How long the exits may stay behind the answer to the stop.
const DRAIN: Duration = Duration::from_millis(500);

/// How long the death of a process is waited for that explains why a port was closed.
const CAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

impl RemoteBackend {
    /// Ends the containers, then the VM.
    pub(super) fn stop(&mut self, cx: &mut Context, origin: Origin) {
        self.stopping = Some(origin);
        if self.phase == Phase::Ready {
            self.phase = Phase::Stopping;
            self.ask(None, Op::Stop(Stop {}), Expects::Stop);
            cx.wake = Some(Instant::now() + STOP);
        } else {
            self.stopped(cx);
        }
    }

    /// The guest has answered the stop on one port; the exits come over the other.
    pub(super) fn drain(&mut self, cx: &mut Context) {
        self.drained = true;
        if self.containers.values().all(|container| container.status.state == ContainerState::Exited) {
            self.stopped(cx);
        } else {
            cx.wake = Some(Instant::now() + DRAIN);
        }
    }

    /// The guest has ended its containers, or its time is over.
    pub(super) fn stopped(&mut self, cx: &mut Context) {
        self.machine.kill();
        let left: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, container)| container.status.state != ContainerState::Exited)
            .map(|(id, _)| id.clone())
            .collect();
        for container in left {
            self.record(cx, &ContainerExit { container, code: 137, oom: false, at: SystemTime::now() });
        }
        self.guest = None;
        if let Some(origin) = self.stopping.take() {
            cx.answer(origin, Ok(Outcome::Empty(Empty {})));
        }
        cx.end = Some(End::Stopped);
    }

    /// A port is closed, or what came over it cannot be.
    pub(super) fn broken(&mut self, cx: &mut Context, fault: &Fault) {
        let reason = match fault {
            Fault::Closed(reason) => reason.clone(),
            Fault::Nonsense(error) => format!("the guest talks nonsense: {error}"),
        };
        // A port that closes is mostly the first sign of a dead VMM, which is the better reason.
        let cause = if reason.contains("nonsense") { None } else { self.dead_process(Some(&CAUSE)) };
        let cause = cause.map(|name| self.how_it_ended(&name));
        self.die(cx, cause.unwrap_or(reason));
    }

    pub(super) fn watched_ended(&mut self, cx: &mut Context) {
        if let Some(name) = self.dead_process(Some(&Timespec::default())) {
            let reason = self.how_it_ended(&name);
            self.die(cx, reason);
        }
    }

    /// The name of a watched process that has ended.
    pub(super) fn dead_process(&self, timeout: Option<&Timespec>) -> Option<String> {
        let mut polls: Vec<PollFd<'_>> =
            self.watched.iter().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)).collect();
        poll(&mut polls, timeout).ok()?;
        let mut dead = polls.iter().position(|poll| !poll.revents().is_empty())?;
        // The others end by themselves when the first, the VMM, is about to: then that is the cause.
        if dead > 0 && poll(&mut polls[..1], Some(&CAUSE)).is_ok_and(|ready| ready > 0) {
            dead = 0;
        }
        Some(self.watched[dead].0.clone())
    }

    // Not taken away from who reaps it.
    fn how_it_ended(&self, name: &str) -> String {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let found = self.watched.iter().find(|(other, _)| other == name);
        let status = found.and_then(|(_, pidfd)| waitid(WaitId::PidFd(pidfd.as_fd()), options).ok().flatten());
        let code = status
            .and_then(|status| status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)));
        code.map_or_else(|| format!("{name} ended"), |code| ended(name, code))
    }

    /// The sandbox is dead: all of it, at once.
    pub(super) fn die(&mut self, cx: &mut Context, reason: String) {
        if cx.end.is_some() {
            return;
        }
        if self.stopping.is_some() {
            return self.stopped(cx);
        }
        self.machine.kill();
        self.guest = None;
        if let Some((origin, _)) = self.boot.take() {
            cx.answer(origin, Err(PodError::Gone(reason.clone())));
        }
        let waiting: Vec<Origin> =
            std::mem::take(&mut self.pending).into_values().filter_map(|pending| pending.origin).collect();
        waiting.into_iter().for_each(|origin| cx.answer(origin, Err(PodError::Gone(reason.clone()))));
        if let Err(error) = self.exits.gone(&reason) {
            eprintln!("last word: {error}");
        }
        cx.announce(event::Kind::Gone(Gone { reason: reason.clone() }));
        cx.end = Some(End::Gone(reason));
    }
}

/// For people. Codes above 128 are signals, as shells have it.
pub(super) fn ended(name: &str, code: i32) -> String {
    match code - 128 {
        signal if signal > 0 => format!("{name} was killed by signal {signal}"),
        _ => format!("{name} ended with exit code {code}"),
    }
}
