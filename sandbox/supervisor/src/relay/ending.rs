//! The end of a VM: asked for, or found.

use std::time::{Duration, Instant};

use cofferdam_pod_api::{ContainerExit, Empty, Exited, Gone, Op, Outcome, PodError, Stop, event};
use rustix::event::Timespec;

use super::questions::Expects;
use super::state::{Phase, Relay};
use super::watched::CAUSE;
use crate::serve::{Context, End, Fault, Origin};

/// How long the exits may stay behind the answer to the stop.
const DRAIN: Duration = Duration::from_millis(500);

/// Tells the daemon of an exit that is recorded.
pub(super) fn announce(cx: &mut Context, exit: &ContainerExit) {
    cx.announce(event::Kind::Exited(Exited::from(exit)));
}

impl Relay {
    /// Ends the containers, then the VM.
    pub(super) fn stop(&mut self, cx: &mut Context, origin: Origin) {
        self.stopping = Some(origin);
        if self.phase == Phase::Ready {
            self.phase = Phase::Stopping;
            self.ask(None, Op::Stop(Stop {}), Expects::Stop);
            self.timer = Some(Instant::now() + self.patience.stop);
        } else {
            self.stopped(cx);
        }
    }

    /// The guest has answered the stop on one port; the exits come over the other.
    pub(super) fn drain(&mut self, cx: &mut Context) {
        self.drained = true;
        if self.containers.all_exited() {
            self.stopped(cx);
        } else {
            self.timer = Some(Instant::now() + DRAIN);
        }
    }

    /// The time of a stop is over: the guest has not told the last exits, or has not even answered.
    pub(super) fn stop_over(&mut self, cx: &mut Context) {
        if !self.drained {
            self.die_while_stopping(cx, format!("the guest did not stop within {:?}", self.patience.stop));
        }
        self.stopped(cx);
    }

    // Who waits for the stop is answered all the same: the sandbox is dead, and the ends of its containers follow.
    fn die_while_stopping(&mut self, cx: &mut Context, reason: String) {
        self.containers.last_word(&reason);
        cx.announce(event::Kind::Gone(Gone { reason }));
        self.containers.abandon();
    }

    /// What the guest owes is overdue: it is hung, and killed.
    pub(super) fn check_debts(&mut self, cx: &mut Context, now: Instant) {
        let unanswered = self.questions.overdue(now);
        let unended = || {
            let id = self.containers.overdue(now)?;
            Some(format!("container {id} in the guest did not end within {:?} of SIGKILL", self.patience.killed))
        };
        if let Some(reason) = unanswered.or_else(unended) {
            self.die(cx, reason);
        }
    }

    /// The guest has ended its containers, or its time is over.
    pub(super) fn stopped(&mut self, cx: &mut Context) {
        self.machine.kill();
        self.containers.killed().iter().for_each(|exit| announce(cx, exit));
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
        let cause = if reason.contains("nonsense") { None } else { self.watched.dead(Some(&CAUSE)) };
        let cause = cause.map(|name| self.watched.how_it_ended(&name));
        self.die(cx, cause.unwrap_or(reason));
    }

    /// A process behind the VM may have ended.
    pub(super) fn watched_ended(&mut self, cx: &mut Context) {
        if let Some(name) = self.watched.dead(Some(&Timespec::default())) {
            let reason = self.watched.how_it_ended(&name);
            self.die(cx, reason);
        }
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
        for origin in self.questions.abandon() {
            cx.answer(origin, Err(PodError::Gone(reason.clone())));
        }
        self.containers.last_word(&reason);
        cx.announce(event::Kind::Gone(Gone { reason: reason.clone() }));
        cx.end = Some(End::Gone(reason));
    }
}
