//! What the event loop brings, handed to who does it.

use std::os::fd::OwnedFd;
use std::time::Instant;

use cofferdam_pod_api::{Body, Op, Outcome, PodError};
use rustix::event::Timespec;

use super::ports::GuestPorts;
use super::state::{Phase, Relay};
use super::watched::ended;
use crate::serve::{Backend, Context, Origin, Ready, Token, kind};

impl Backend for Relay {
    fn request(&mut self, cx: &mut Context, origin: Origin, op: Op, fds: Vec<OwnedFd>) {
        match op {
            Op::Boot(boot) => {
                let started = boot.content().and_then(|config| self.boot(cx, origin, config, fds));
                if let Err(error) = started {
                    cx.answer(origin, Err(error));
                }
            }
            Op::List(_) => cx.answer(origin, Ok(Outcome::StatusList(self.containers.list()))),
            Op::ReopenLog(reopen) => {
                let result = self.reopen(&reopen.container, fds);
                cx.answer(origin, result);
            }
            Op::Stop(_) => self.stop(cx, origin),
            other => {
                if let Err(error) = self.forward(origin, other, fds) {
                    cx.answer(origin, Err(error));
                }
            }
        }
        self.flush(cx);
    }

    fn frame(&mut self, cx: &mut Context, connection: u32, body: Body) -> Result<(), PodError> {
        if let Some(body) = self.streams.relay(connection, body)? {
            self.send(body);
        }
        self.flush(cx);
        Ok(())
    }

    fn ready(&mut self, cx: &mut Context, token: Token, ready: Ready) {
        match token.kind {
            kind::GUEST => self.guest_ready(cx, token.id as usize, ready),
            kind::WATCHED => self.watched_ended(cx),
            _ => {}
        }
        self.flush(cx);
    }

    // The pidfd of a process tells of its end as well, but only now is it known how it ended.
    fn reaped(&mut self, cx: &mut Context, _: u32, code: i32) {
        if let Some(name) = self.watched.dead(Some(&Timespec::default())) {
            self.die(cx, ended(&name, code));
            self.flush(cx);
        }
    }

    fn disconnected(&mut self, cx: &mut Context, connection: u32) {
        for close in self.streams.disconnected(connection) {
            self.send(close);
        }
        self.questions.forget(connection);
        self.flush(cx);
    }

    fn timeout(&mut self, cx: &mut Context) {
        let now = Instant::now();
        if self.timer.take_if(|timer| *timer <= now).is_some() {
            self.phase_over(cx, now);
        }
        if cx.end.is_none() {
            self.check_debts(cx, now);
        }
        self.flush(cx);
    }
}

impl Relay {
    fn phase_over(&mut self, cx: &mut Context, now: Instant) {
        match self.phase {
            Phase::Greeting | Phase::SettingUp if self.deadline.is_some_and(|deadline| deadline <= now) => {
                self.die(cx, format!("the guest did not come up within {:?}", self.patience.boot));
            }
            Phase::Greeting => self.timer = self.guest.as_mut().map(GuestPorts::greet),
            Phase::Stopping => self.stop_over(cx),
            Phase::SettingUp => self.timer = self.deadline,
            Phase::Off | Phase::Ready => {}
        }
    }

    // The last of each event: whatever was asked and answered, the loop wakes when the next of it is due.
    fn flush(&mut self, cx: &mut Context) {
        let flushed = self.guest.as_mut().map_or(Ok(()), |guest| guest.flush(cx));
        if let Err(fault) = flushed {
            self.broken(cx, &fault);
        }
        let due = [self.timer, self.questions.next_due(), self.containers.next_end()];
        cx.wake = due.into_iter().flatten().min();
    }
}
