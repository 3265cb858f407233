//! Ends: of a process, of a stream, of the sandbox.

use std::time::SystemTime;

use cofferdam_pod_api::{ContainerExit, ContainerState, Empty, Outcome};
use rustix::process::Signal;

use super::process::Role;
use super::state::{Due, Engine};
use crate::serve::{Context, End, Origin, StreamKey};

impl Engine {
    /// A process ended and was reaped.
    pub(super) fn exited(&mut self, cx: &mut Context, number: u32, code: i32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if process.code.is_some() {
            return;
        }
        process.code = Some(code);
        if let Some(pidfd) = process.pidfd.take() {
            cx.reactor.remove(&pidfd);
        }
        if let Role::Container(id) = &process.role
            && let Some(container) = self.containers.get_mut(id)
            && let Err(error) = container.handle.signal_all(Signal::KILL.as_raw())
        {
            eprintln!("killing what is left of container {id}: {error}");
        }
        self.close_input(cx, number);
        for index in 0..2 {
            let open = self.processes.get(&number).is_some_and(|process| process.output[index].is_some());
            if open {
                self.pump_output(cx, number, index);
            }
        }
        self.finish(cx, number);
    }

    /// Ends what has come to its end while bytes were moved. Called after each event.
    pub(super) fn settle(&mut self, cx: &mut Context) {
        while let Some(due) = self.due.pop_front() {
            match due {
                Due::Process(number) => self.finish(cx, number),
                Due::Stream(key) => self.close_stream(cx, key),
            }
        }
    }

    // Ends what can end: all output read, and the process over.
    fn finish(&mut self, cx: &mut Context, number: u32) {
        let Some(process) = self.processes.get(&number) else { return };
        if !process.is_drained() {
            return;
        }
        match (&process.role, process.code) {
            (Role::Dial(_), _) if process.input.is_none() => self.finish_stream(cx, number, 0),
            (Role::Exec, Some(code)) => self.finish_stream(cx, number, code),
            (Role::Container(_), Some(code)) => self.finish_container(cx, number, code),
            _ => {}
        }
    }

    fn finish_stream(&mut self, cx: &mut Context, number: u32, code: i32) {
        let Some(process) = self.processes.remove(&number) else { return };
        for key in process.streams {
            if let Some(mut stream) = self.streams.remove(&key) {
                (0..2).for_each(|index| stream.close(cx, index));
                cx.stream_exit(key, Ok(code));
            }
        }
    }

    fn finish_container(&mut self, cx: &mut Context, number: u32, code: i32) {
        let Some(process) = self.processes.remove(&number) else { return };
        let Role::Container(id) = process.role else { return };
        if let Some(container) = self.containers.get_mut(&id) {
            let exit = ContainerExit { container: id, code, oom: container.handle.oom_killed(), at: SystemTime::now() };
            container.process = None;
            container.state = ContainerState::Exited;
            container.exit = Some(exit.clone());
            if !container.failed {
                self.sink.exited(cx, &exit);
            }
        }
        for key in process.streams {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.ended = code;
            }
            self.finish_attach(cx, key);
        }
        self.check_stopped(cx);
    }

    /// Ends an attach to a container that has exited, once its last bytes are sent.
    pub(super) fn finish_attach(&mut self, cx: &mut Context, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        if !stream.is_flushed() {
            return;
        }
        let code = stream.ended;
        (0..2).for_each(|index| stream.close(cx, index));
        self.streams.remove(&key);
        cx.stream_exit(key, Ok(code));
    }

    /// A stream is no longer wanted, or cannot be served.
    pub(super) fn close_stream(&mut self, cx: &mut Context, key: StreamKey) {
        let Some(stream) = self.streams.get(&key) else { return };
        let (number, stdin) = (stream.process, stream.stdin);
        if stdin {
            self.input_left(cx, key, number);
        }
        self.streams.remove(&key);
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.streams.retain(|other| *other != key);
        if let Role::Dial(_) = process.role {
            self.processes.remove(&number);
        } else {
            // An exec goes on, and its output now goes nowhere.
            self.resume_output(cx, number);
        }
    }

    /// Kills everything; answered when all exits are recorded.
    pub(super) fn stop(&mut self, cx: &mut Context, origin: Origin) {
        self.stopping = Some(origin);
        self.kill_all();
        self.check_stopped(cx);
    }

    /// The pod itself is dead: whatever is left of it ends, and so does this server.
    pub(super) fn die(&mut self, cx: &mut Context, reason: String) {
        if self.stopping.is_some() || self.dying.is_some() {
            return;
        }
        self.dying = Some(reason);
        self.kill_all();
        self.check_stopped(cx);
    }

    fn kill_all(&mut self) {
        for (id, container) in &mut self.containers {
            if container.state != ContainerState::Exited
                && let Err(error) = container.handle.signal_all(Signal::KILL.as_raw())
            {
                eprintln!("killing container {id}: {error}");
            }
        }
    }

    fn check_stopped(&mut self, cx: &mut Context) {
        if self.stopping.is_none() && self.dying.is_none() {
            return;
        }
        if self.containers.values().any(|container| container.state != ContainerState::Exited) {
            return;
        }
        for (id, container) in &mut self.containers {
            if let Err(error) = container.handle.remove() {
                eprintln!("removing container {id}: {error}");
            }
        }
        let closed = self.pod.as_mut().map_or(Ok(()), |pod| pod.close());
        if let Some(origin) = self.stopping {
            cx.answer(origin, closed.map(|()| Outcome::Empty(Empty {})));
            cx.end = Some(End::Stopped);
        } else if let Some(reason) = self.dying.take() {
            self.sink.gone(cx, &reason);
            cx.end = Some(End::Gone(reason));
        }
    }
}
