//! What the event loop brings, handed to who does it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use cofferdam_pod_api::{Body, Empty, Op, Outcome, PodError, Setup};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::process::Role;
use super::state::Engine;
use crate::serve::{Backend, Context, Origin, Ready, StreamKey, Token, kind};

impl Backend for Engine {
    fn request(&mut self, cx: &mut Context, origin: Origin, op: Op, mut fds: Vec<OwnedFd>) {
        let result = match op {
            Op::Create(create) => self.create(cx, &create, fds.pop()),
            Op::Start(start) => self.start(&start.container),
            Op::Signal(signal) => self.signal(&signal.container, signal.signal, signal.all),
            Op::Delete(delete) => self.delete(cx, &delete.container),
            Op::Update(update) => self.update(&update),
            Op::List(_) => Ok(self.list()),
            Op::Stats(stats) => self.stats(&stats.container),
            Op::ReopenLog(reopen) => self.reopen(&reopen.container, fds.pop()),
            Op::Exec(exec) => self.exec(cx, origin.connection, &exec),
            Op::Attach(attach) => self.attach(cx, origin.connection, &attach),
            Op::Dial(dial) => match self.dial(cx, origin, &dial) {
                // Answered once it is connected.
                Ok(None) => return,
                Ok(Some(done)) => Ok(done),
                Err(error) => Err(error),
            },
            Op::Resize(resize) => self.resize((origin.connection, resize.stream), resize.columns, resize.rows),
            Op::KillStream(kill) => self.kill_stream((origin.connection, kill.stream)),
            Op::Stop(_) => return self.stop(cx, origin),
            Op::Setup(setup) => self.setup(&setup),
            Op::Boot(_) => Err(PodError::Invalid("boot is for a VM sandbox".into())),
        };
        self.settle(cx);
        cx.answer(origin, result);
    }

    fn frame(&mut self, cx: &mut Context, connection: u32, body: Body) -> Result<(), PodError> {
        let handled = match body {
            Body::StreamData(data) => self.input(cx, (connection, data.stream), data),
            Body::StreamCredit(credit) => self.credit(cx, (connection, credit.stream), credit.channel, credit.bytes),
            Body::StreamClose(close) => {
                self.close_stream(cx, (connection, close.stream));
                Ok(())
            }
            Body::LogAck(ack) => self.sink.acknowledged(ack.sequence).map(|()| self.resume_containers(cx)),
            _ => Err(PodError::Protocol("not a stream's frame".into())),
        };
        self.settle(cx);
        handled
    }

    fn ready(&mut self, cx: &mut Context, token: Token, ready: Ready) {
        match token.kind {
            kind::OUTPUT => self.pump_output(cx, token.id >> 2, (token.id & 3) as usize),
            kind::INPUT => self.input_ready(cx, token.id),
            kind::PROCESS if ready.read => self.process_ended(cx, token.id),
            _ => {}
        }
        self.settle(cx);
    }

    fn reaped(&mut self, cx: &mut Context, pid: u32, code: i32) {
        let number = self.processes.iter().find(|(_, process)| process.pid == pid).map(|(number, _)| *number);
        if let Some(number) = number {
            self.exited(cx, number, code);
        } else if let Some(reason) = self.pod.as_mut().and_then(|pod| pod.dead()) {
            self.die(cx, reason);
        }
        self.settle(cx);
    }

    fn disconnected(&mut self, cx: &mut Context, connection: u32) {
        let keys: Vec<StreamKey> = self.streams.keys().copied().filter(|(owner, _)| *owner == connection).collect();
        keys.into_iter().for_each(|key| self.close_stream(cx, key));
        self.settle(cx);
    }

    fn timeout(&mut self, cx: &mut Context) {
        self.dials_over(cx, Instant::now());
    }
}

impl Engine {
    fn setup(&mut self, setup: &Setup) -> Result<Outcome, PodError> {
        match (&self.pod, &mut self.guest) {
            (None, Some(guest)) => {
                self.pod = Some(guest.setup(&setup.content()?)?);
                Ok(Outcome::Empty(Empty {}))
            }
            (Some(_), Some(_)) => Err(PodError::State("the guest is set up already".into())),
            (_, None) => Err(PodError::Invalid("set-up is for a guest".into())),
        }
    }

    /// There may be room for input, or a connection was made.
    fn input_ready(&mut self, cx: &mut Context, number: u32) {
        match self.role(number) {
            Some(Role::Dial(Some(_))) => self.dialled(cx, number),
            _ => self.write_input(cx, number),
        }
    }

    // The pidfd speaks also for children that send no SIGCHLD.
    fn process_ended(&mut self, cx: &mut Context, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Some(pidfd) = &process.pidfd else { return };
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        match status {
            Ok(Some(status)) => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                self.exited(cx, number, code.unwrap_or(255));
            }
            Ok(None) => {}
            // Somebody else has its status; without one it must not be waited for again and again.
            Err(_) => self.exited(cx, number, 255),
        }
    }
}
