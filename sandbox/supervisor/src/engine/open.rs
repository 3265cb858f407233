//! The operations that open and steer streams: exec, attach, resize, kill.

use cofferdam_pod_api::{Attach, ContainerState, Empty, Exec, Outcome, PodError};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{Winsize, tcsetwinsize};

use super::process::{Process, Role};
use super::state::{Engine, SupervisedContainer};
use super::stream::Stream;
use crate::serve::{Context, StreamKey};

const DONE: Outcome = Outcome::Empty(Empty {});

impl Engine {
    pub(super) fn new_stream(&self, key: StreamKey) -> Result<(), PodError> {
        match self.streams.contains_key(&key) {
            true => Err(PodError::Protocol(format!("stream {} is open already", key.1))),
            false => Ok(()),
        }
    }

    pub(super) fn exec(&mut self, cx: &mut Context, connection: u32, exec: &Exec) -> Result<Outcome, PodError> {
        let key = (connection, exec.stream);
        self.new_stream(key)?;
        let spec = exec.content()?;
        let container = self.container(&spec.container)?;
        running(container, &spec.container)?;
        let launched = container.handle.exec(&spec)?;
        let number = self.adopt(cx, Role::Exec, launched);
        let stdin = self.processes.get(&number).is_some_and(|process| process.input.is_some());
        self.connect_stream(key, Stream::new(key, number, stdin && spec.stdin, exec.stdout, exec.stderr));
        self.resume_output(cx, number);
        Ok(DONE)
    }

    pub(super) fn attach(&mut self, cx: &mut Context, connection: u32, attach: &Attach) -> Result<Outcome, PodError> {
        let key = (connection, attach.stream);
        self.new_stream(key)?;
        let container = self.container(&attach.container)?;
        let Some(number) = container.process else {
            return Err(PodError::State(format!("container {} has exited", attach.container)));
        };
        let process = self.processes.get(&number);
        if attach.stdin && process.is_none_or(|process| process.input.is_none()) {
            return Err(PodError::Invalid(format!("container {} has no open stdin", attach.container)));
        }
        self.connect_stream(key, Stream::new(key, number, attach.stdin, attach.stdout, attach.stderr));
        let _ = cx;
        Ok(DONE)
    }

    pub(super) fn resize(&mut self, key: StreamKey, columns: u32, rows: u32) -> Result<Outcome, PodError> {
        let terminal = self.stream_process(key)?.terminal.as_ref();
        let terminal = terminal.ok_or_else(|| PodError::Invalid(format!("stream {} has no terminal", key.1)))?;
        let size = |value: u32| u16::try_from(value).map_err(|_| PodError::Invalid(format!("terminal size {value}")));
        let size = Winsize { ws_row: size(rows)?, ws_col: size(columns)?, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal, size).map_err(|error| PodError::Failed(format!("terminal size: {error}")))?;
        Ok(DONE)
    }

    pub(super) fn kill_stream(&mut self, key: StreamKey) -> Result<Outcome, PodError> {
        let process = self.stream_process(key)?;
        if process.role != Role::Exec {
            return Err(PodError::Invalid(format!("stream {} is no exec", key.1)));
        }
        // Not reaped yet, so the number still is this process's. Each exec leads a session, hence a group.
        if process.code.is_none()
            && let Some(pid) = Pid::from_raw(process.pid as i32)
        {
            let _ = kill_process_group(pid, Signal::KILL);
            if let Some(pidfd) = &process.pidfd {
                let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
            }
        }
        Ok(DONE)
    }

    fn stream_process(&self, key: StreamKey) -> Result<&Process, PodError> {
        let stream = self.streams.get(&key);
        let process = stream.and_then(|stream| self.processes.get(&stream.process));
        process.ok_or_else(|| PodError::NotFound(format!("stream {} is over", key.1)))
    }

    /// A requester allows more.
    pub(super) fn credit(
        &mut self,
        cx: &mut Context,
        key: StreamKey,
        channel: u32,
        bytes: u32,
    ) -> Result<(), PodError> {
        // A stream that has just ended may still be granted something.
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(()) };
        let number = stream.process;
        stream
            .granted(cx, channel, bytes)
            .ok_or_else(|| PodError::Protocol(format!("stream {}: credit that was never taken", key.1)))?;
        match self.role(number) {
            Some(_) => self.resume_output(cx, number),
            // The process is gone, and the stream waits for its last bytes.
            None => self.finish_attach(cx, key),
        }
        Ok(())
    }
}

fn running(container: &SupervisedContainer, id: &str) -> Result<(), PodError> {
    match container.state {
        ContainerState::Running => Ok(()),
        ContainerState::Created => Err(PodError::State(format!("container {id} is not started"))),
        ContainerState::Exited => Err(PodError::State(format!("container {id} has exited"))),
    }
}
