//! What comes from the guest. Each error here is nonsense, and the end of the VM.

use cofferdam_pod_api::{
    Body, Booted, Empty, Error, ExitReport, HelloReply, Op, Outcome, Response, Setup, StreamExit, VERSIONS,
};

use super::ending::announce;
use super::questions::{Expects, Pending};
use super::state::{Phase, Relay};
use crate::serve::{Context, Fault, Ready};

/// Longest message of a guest's error, characters.
const MESSAGE: usize = 1024;

impl Relay {
    /// A port of the guest may be read.
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
        if let Some(acknowledgement) = self.containers.acknowledgement() {
            self.send(Body::LogAck(acknowledgement));
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
            (Body::HelloReply(reply), _) if self.phase == Phase::Greeting => self.hello(port, &reply),
            _ if !greeted => Err("a frame before its hello".into()),
            (Body::Response(response), 0) => self.response(cx, response),
            (Body::StreamData(data), 1) => self.streams.data(data).map(|frame| to_daemon(cx, frame)),
            (Body::StreamCredit(credit), 1) => self.streams.credit(credit).map(|frame| to_daemon(cx, frame)),
            (Body::StreamExit(exit), 1) => {
                let error = exit.error.map(bounded);
                to_daemon(cx, self.streams.exit(StreamExit { error, ..exit }));
                Ok(())
            }
            (Body::Log(log), 1) => self.containers.log(&log),
            (Body::ExitReport(exit), 1) => self.exit(cx, exit),
            _ => Err("a frame that no agent sends".into()),
        }
    }

    fn hello(&mut self, port: usize, reply: &HelloReply) -> Result<(), String> {
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
            self.timer = self.deadline;
            self.phase = Phase::SettingUp;
            let setup = self.setup.take().ok_or("a second set-up")?;
            let setup = Setup::new(&setup).map_err(|error| error.to_string())?;
            self.ask(None, Op::Setup(setup), Expects::Setup);
        }
        Ok(())
    }

    fn response(&mut self, cx: &mut Context, response: Response) -> Result<(), String> {
        let Pending { origin, expects, .. } = self.questions.answered(response.id).ok_or("an answer to no question")?;
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
            Expects::Created(id) => self.containers.forget(id),
            Expects::Started(id) => self.containers.failed_to_start(id),
            Expects::Opened(stream) => self.streams.remove(*stream),
            Expects::Deleted(_) | Expects::Empty | Expects::Resources | Expects::Stats => {}
        }
        Ok(())
    }

    fn accept(&mut self, cx: &mut Context, expects: &Expects, outcome: Outcome) -> Result<Outcome, String> {
        match (expects, outcome) {
            (Expects::Setup, Outcome::Empty(_)) => {
                self.phase = Phase::Ready;
                self.timer = None;
                if let Some((origin, processes)) = self.boot.take() {
                    cx.answer(origin, Booted::new(&processes).map(Outcome::Booted));
                }
            }
            (Expects::Stop, Outcome::Empty(_)) => self.drain(cx),
            (Expects::Deleted(id), Outcome::Empty(_)) => self.containers.forget(id),
            (Expects::Created(id), Outcome::Status(status)) => {
                return self.containers.told(id, &status, false).map(Outcome::Status);
            }
            (Expects::Started(id), Outcome::Status(status)) => {
                return self.containers.told(id, &status, true).map(Outcome::Status);
            }
            (Expects::Opened(_) | Expects::Empty, Outcome::Empty(_)) => {}
            (Expects::Resources, Outcome::Resources(resources)) => return Ok(Outcome::Resources(resources)),
            (Expects::Stats, Outcome::StatsReply(stats)) => return Ok(Outcome::StatsReply(stats)),
            _ => return Err("an answer to another question".into()),
        }
        Ok(Outcome::Empty(Empty {}))
    }

    fn exit(&mut self, cx: &mut Context, report: ExitReport) -> Result<(), String> {
        let exit = self.containers.exit(report)?;
        announce(cx, &exit);
        if self.drained {
            self.drain(cx);
        }
        Ok(())
    }
}

fn to_daemon(cx: &mut Context, frame: Option<(u32, Body)>) {
    if let Some((connection, body)) = frame {
        cx.send(connection, body);
    }
}

/// An error of the guest, of a length that fits everywhere.
fn bounded(error: Error) -> Error {
    Error { message: shorten(&error.message), ..error }
}

fn shorten(message: &str) -> String {
    message.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
