//! The requester at a guest's two ports: what the shim is, as little as a test needs.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_pod_api::{
    Body, CONTROL_PORT, DATA_PORT, Decoder, Exec, ExecSpec, ExitReport, GuestSetup, LogAck, MAX_FRAME, Op, Outcome,
    PodError, Request, STDOUT, Setup, StreamCredit, encode, error_from, opening, sync_after_magic,
};

use super::vm::Vm;

struct Port {
    stream: UnixStream,
    decoder: Decoder,
    synced: bool,
}

impl Port {
    fn send(&mut self, body: Body) -> Result<()> {
        let mut bytes = Vec::new();
        encode(&body.into(), &mut bytes);
        Ok(self.stream.write_all(&bytes)?)
    }

    fn next(&mut self) -> Result<Body> {
        loop {
            let frame = match self.synced {
                true => self.decoder.next_frame()?,
                false => sync_after_magic(&mut self.decoder, &mut self.synced)?,
            };
            if let Some(frame) = frame {
                return frame.body.context("an empty frame");
            }
            let mut buffer = [0; 32 * 1024];
            let length = self.stream.read(&mut buffer).context("read from a port")?;
            ensure!(length > 0, "the port was closed");
            self.decoder.push(&buffer[..length]);
        }
    }
}

/// The requester at a guest's two ports.
pub struct AgentClient {
    control: Port,
    data: Port,
    requests: u64,
    streams: u32,
    /// Output by container.
    logs: BTreeMap<String, String>,
    exits: BTreeMap<String, ExitReport>,
}

impl AgentClient {
    /// Connects and greets.
    pub fn open(vm: &Vm) -> Result<Self> {
        let port = |name, epoch| -> Result<Port> {
            let mut stream = vm.port(name)?;
            // Rubbish before the magic must not matter.
            stream.write_all(b"\0\0rubbish")?;
            stream.write_all(&opening(epoch))?;
            let mut port = Port { stream, decoder: Decoder::new(MAX_FRAME), synced: false };
            let Body::HelloReply(reply) = port.next()? else { bail!("no answer to the hello") };
            ensure!(reply.error.is_empty() && reply.epoch == epoch && reply.version == 1, "{reply:?}");
            Ok(port)
        };
        let (control, data) = (port(CONTROL_PORT, 7)?, port(DATA_PORT, 7)?);
        Ok(AgentClient { control, data, requests: 0, streams: 0, logs: BTreeMap::new(), exits: BTreeMap::new() })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, op: Op) -> Result<Outcome> {
        self.requests += 1;
        self.control.send(Body::Request(Request { id: self.requests, fds: 0, op: Some(op) }))?;
        match self.control.next()? {
            Body::Response(response) if response.id == self.requests => response.outcome.context("an empty answer"),
            other => bail!("not the answer: {other:?}"),
        }
    }

    /// Asks for what shall work.
    pub fn done(&mut self, op: Op) -> Result<Outcome> {
        match self.ask(op)? {
            Outcome::Error(error) => Err(error_from(error).into()),
            outcome => Ok(outcome),
        }
    }

    /// Asks for what shall be refused.
    pub fn refused(&mut self, op: Op) -> Result<PodError> {
        match self.ask(op)? {
            Outcome::Error(error) => Ok(error_from(error)),
            outcome => bail!("it was done: {outcome:?}"),
        }
    }

    /// Sets the guest up.
    pub fn setup(setup: &GuestSetup) -> Result<Op> {
        Ok(Op::Setup(Setup::new(setup)?))
    }

    /// Waits for the end of a container: its exit and all it wrote.
    pub fn exit(&mut self, container: &str) -> Result<(ExitReport, String)> {
        while !self.exits.contains_key(container) {
            let body = self.data.next()?;
            self.data_frame(body)?;
        }
        let exit = self.exits.remove(container).context("no exit")?;
        Ok((exit, self.logs.remove(container).unwrap_or_default()))
    }

    /// Runs a process in a container, and answers its exit code and output.
    pub fn exec(&mut self, spec: &ExecSpec) -> Result<(i32, String)> {
        self.streams += 1;
        let (stream, mut output) = (self.streams, String::new());
        self.done(Op::Exec(Exec::new(spec, stream, true, false)?))?;
        loop {
            match self.data.next()? {
                Body::StreamData(data) => {
                    output.push_str(&String::from_utf8_lossy(&data.data));
                    let credit = StreamCredit { stream, channel: STDOUT, bytes: data.data.len() as u32 };
                    self.data.send(Body::StreamCredit(credit))?;
                }
                Body::StreamExit(exit) => {
                    ensure!(exit.error.is_none(), "{exit:?}");
                    return Ok((exit.code, output));
                }
                other => self.data_frame(other)?,
            }
        }
    }

    fn data_frame(&mut self, body: Body) -> Result<()> {
        let sequence = match body {
            Body::Log(log) => {
                self.logs.entry(log.container).or_default().push_str(&String::from_utf8_lossy(&log.data));
                log.sequence
            }
            Body::ExitReport(exit) => {
                let sequence = exit.sequence;
                self.exits.insert(exit.container.clone(), exit);
                sequence
            }
            other => bail!("not a frame of the data port: {other:?}"),
        };
        self.data.send(Body::LogAck(LogAck { sequence }))
    }
}
