//! What comes from the guest. Each error here is nonsense, and the end of the VM.

use std::time::SystemTime;

use cofferdam_pod_api::{
    Body, Booted, Error, ExitReport, Exited, HelloReply, Log, LogAck, MAX_DATA, Op, Outcome, Response, STDERR, STDOUT,
    Setup, VERSIONS, event, status_to,
};
use cofferdam_sandbox::{ContainerExit, ContainerState};

use super::forward::{Expects, Pending};
use super::{Phase, RemoteBackend, RemoteContainer};
use crate::serve::{Context, Fault, Ready};

/// Longest message of a guest's error, characters.
const MESSAGE: usize = 1024;

impl RemoteBackend {
    pub(super) fn guest_ready(&mut self, cx: &mut Context, port: usize, ready: Ready) {
        if !ready.read {
            return;
        }
        let mut buffer = std::mem::take(&mut cx.buffer);
        // One read a turn: a guest that floods one pod's shim must not keep the daemon waiting.
        let read = self.guest.as_mut().map_or(Ok(false), |guest| guest.ports[port].read(&mut buffer));
        cx.buffer = buffer;
        let handled = read.and_then(|_| self.frames(cx, port));
        if let Err(fault) = handled {
            return self.broken(cx, &fault);
        }
        if std::mem::take(&mut self.unacknowledged) {
            self.send(Body::LogAck(LogAck { sequence: self.sequence }));
        }
    }

    fn frames(&mut self, cx: &mut Context, port: usize) -> Result<(), Fault> {
        while let Some(guest) = &mut self.guest {
            let Some(frame) = guest.ports[port].next_frame()? else { return Ok(()) };
            let Some(body) = frame.body else { return Err(Fault::Closed("an empty frame".into())) };
            self.take_frame(cx, port, body)
                .map_err(|nonsense| Fault::Closed(format!("the guest talks nonsense: {nonsense}")))?;
            if cx.end.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, cx: &mut Context, port: usize, body: Body) -> Result<(), String> {
        let greeted = self.guest.as_ref().is_some_and(|guest| guest.greeted[port]);
        match (body, port) {
            (Body::HelloReply(reply), _) if self.phase == Phase::Greeting => self.hello(cx, port, &reply),
            _ if !greeted => Err("a frame before its hello".into()),
            (Body::Response(response), 0) => self.response(cx, response),
            (Body::StreamData(data), 1) => self.relay_data(cx, data),
            (Body::StreamCredit(credit), 1) => self.relay_credit(cx, credit),
            (Body::StreamExit(exit), 1) => {
                self.relay_exit(cx, exit);
                Ok(())
            }
            (Body::Log(log), 1) => self.log(&log),
            (Body::ExitReport(exit), 1) => self.exit(cx, exit),
            _ => Err("a frame that no agent sends".into()),
        }
    }

    fn hello(&mut self, cx: &mut Context, port: usize, reply: &HelloReply) -> Result<(), String> {
        let Some(guest) = &mut self.guest else { return Ok(()) };
        if !reply.error.is_empty() {
            return Err(format!("its hello: {}", shorten(&reply.error)));
        }
        // An answer to an earlier hello: the next one follows behind its own magic.
        if reply.epoch != guest.epoch {
            guest.ports[port].desync();
            return Ok(());
        }
        if reply.version < VERSIONS.0 || reply.version > VERSIONS.1 {
            return Err(format!("version {}", reply.version));
        }
        guest.greeted[port] = true;
        if guest.greeted == [true; 2] {
            cx.wake = self.deadline;
            self.phase = Phase::SettingUp;
            let config = std::mem::take(&mut self.setup);
            self.ask(None, Op::Setup(Setup { config }), Expects::Setup);
        }
        Ok(())
    }

    fn response(&mut self, cx: &mut Context, response: Response) -> Result<(), String> {
        let Pending { origin, expects } = self.pending.remove(&response.id).ok_or("an answer to no question")?;
        let outcome = match response.outcome.ok_or("an empty answer")? {
            Outcome::Error(error) => {
                self.refused(cx, &expects, &error)?;
                Outcome::Error(bounded(error))
            }
            outcome => self.accept(cx, &expects, outcome)?,
        };
        if let Some(origin) = origin {
            cx.send(origin.connection, Body::Response(Response { id: origin.request, outcome: Some(outcome) }));
        }
        Ok(())
    }

    fn refused(&mut self, cx: &mut Context, expects: &Expects, error: &Error) -> Result<(), String> {
        match expects {
            Expects::Setup => return Err(format!("its set-up failed: {}", shorten(&error.message))),
            Expects::Stop => self.drain(cx),
            Expects::Created(id) => self.forget(id),
            Expects::Started(id) => self.failed_to_start(id),
            Expects::Opened(stream) => drop(self.streams.remove(stream)),
            Expects::Deleted(_) | Expects::Empty | Expects::Resources | Expects::Stats => {}
        }
        Ok(())
    }

    fn accept(&mut self, cx: &mut Context, expects: &Expects, outcome: Outcome) -> Result<Outcome, String> {
        match (expects, outcome) {
            (Expects::Setup, Outcome::Empty(_)) => {
                self.phase = Phase::Ready;
                cx.wake = None;
                if let Some((origin, processes)) = self.boot.take() {
                    cx.answer(origin, Ok(Outcome::Booted(Booted { processes })));
                }
            }
            (Expects::Stop, Outcome::Empty(_)) => self.drain(cx),
            (Expects::Deleted(id), Outcome::Empty(done)) => {
                self.forget(id);
                return Ok(Outcome::Empty(done));
            }
            (Expects::Created(id) | Expects::Started(id), Outcome::Status(status)) => {
                let container = self.containers.get_mut(id).ok_or("the status of a forgotten container")?;
                if status.id != *id {
                    return Err("the status of another container".into());
                }
                if container.status.state != ContainerState::Exited {
                    container.status.pid = status.pid;
                    if matches!(expects, Expects::Started(_)) {
                        container.status.state = ContainerState::Running;
                        container.status.started_at = Some(SystemTime::now());
                    }
                }
                return Ok(Outcome::Status(status_to(&container.status)));
            }
            (Expects::Opened(_) | Expects::Empty, Outcome::Empty(done)) => return Ok(Outcome::Empty(done)),
            (Expects::Resources, Outcome::Resources(resources)) => return Ok(Outcome::Resources(resources)),
            (Expects::Stats, Outcome::StatsReply(stats)) => return Ok(Outcome::StatsReply(stats)),
            _ => return Err("an answer to another question".into()),
        }
        Ok(Outcome::Empty(cofferdam_pod_api::Empty {}))
    }

    fn forget(&mut self, id: &str) {
        self.containers.remove(id);
        self.exits.release(id);
    }

    // Its end is the answer to start, and no event follows.
    fn failed_to_start(&mut self, id: &str) {
        if let Some(container) = self.containers.get_mut(id)
            && container.status.state == ContainerState::Created
        {
            container.status.pid = 0;
        }
    }

    fn numbered(&mut self, sequence: u64, container: &str) -> Result<&mut RemoteContainer, String> {
        if sequence != self.sequence + 1 {
            return Err(format!("log frame {sequence} after {}", self.sequence));
        }
        self.sequence = sequence;
        self.unacknowledged = true;
        let container = self.containers.get_mut(container).ok_or("the log of an unknown container")?;
        match container.status.state {
            ContainerState::Exited => Err("the log of a container that has exited".into()),
            _ => Ok(container),
        }
    }

    fn log(&mut self, log: &Log) -> Result<(), String> {
        let container = self.numbered(log.sequence, &log.container)?;
        if log.data.len() > MAX_DATA || ![STDOUT, STDERR].contains(&log.channel) {
            return Err("a log frame that cannot be".into());
        }
        container.log.write(log.channel, &log.data);
        if log.eof {
            container.log.finish(log.channel);
        }
        Ok(())
    }

    fn exit(&mut self, cx: &mut Context, report: ExitReport) -> Result<(), String> {
        let container = self.numbered(report.sequence, &report.container)?;
        if !(0..=255).contains(&report.code) {
            return Err(format!("exit code {}", report.code));
        }
        container.log.finish_all();
        let exit =
            ContainerExit { container: report.container, code: report.code, oom: report.oom, at: SystemTime::now() };
        container.status.state = ContainerState::Exited;
        container.status.pid = 0;
        container.status.exit = Some(exit.clone());
        self.record(cx, &exit);
        if self.drained {
            self.drain(cx);
        }
        Ok(())
    }

    /// Records an exit, then tells it.
    pub(super) fn record(&mut self, cx: &mut Context, exit: &ContainerExit) {
        if let Err(error) = self.exits.record(exit) {
            eprintln!("exit record of {}: {error}", exit.container);
        }
        cx.announce(event::Kind::Exited(Exited::from(exit)));
    }
}

/// An error of the guest, of a length that fits everywhere.
pub(super) fn bounded(error: Error) -> Error {
    Error { message: shorten(&error.message), ..error }
}

fn shorten(message: &str) -> String {
    message.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
