//! Where the logs and exits of containers go: to files and records here, or to the shim outside of the guest.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use cofferdam_pod_api::{Body, ContainerExit, ExitReport, Exited, Gone, Log, MAX_DATA, PodError, event};

use crate::exits::ExitRecords;
use crate::logs::LogFile;
use crate::serve::Context;

/// Bytes of logs that an agent sends before the shim has written them. Containers wait beyond it: the shim never does.
const UNACKNOWLEDGED: usize = 256 * 1024;

/// Where the logs and exits of containers go.
pub(super) enum Sink {
    /// In a shim.
    Files {
        /// Durable exits.
        exits: ExitRecords,
        /// A log for each container.
        logs: BTreeMap<String, LogFile>,
    },
    /// In a guest.
    Shim {
        /// Number of the last frame.
        sequence: u64,
        /// Numbers and sizes of what is not yet acknowledged.
        pending: VecDeque<(u64, usize)>,
        /// Their sum.
        bytes: usize,
    },
}

impl Sink {
    /// Files, with these records.
    pub(super) fn files(exits: ExitRecords) -> Self {
        Sink::Files { exits, logs: BTreeMap::new() }
    }

    /// The shim.
    pub(super) fn shim() -> Self {
        Sink::Shim { sequence: 0, pending: VecDeque::new(), bytes: 0 }
    }

    /// Makes room for a new container's log and exit.
    pub(super) fn open(&mut self, container: &str, cgroup: &str, log: Option<OwnedFd>) -> Result<(), PodError> {
        if let Sink::Files { exits, logs } = self {
            exits
                .reserve(container, cgroup)
                .map_err(|error| PodError::Failed(format!("space for the exit record of {container}: {error}")))?;
            logs.insert(container.to_owned(), LogFile::new(log));
        }
        Ok(())
    }

    /// A container is forgotten.
    pub(super) fn close(&mut self, container: &str) {
        if let Sink::Files { exits, logs } = self {
            exits.release(container);
            logs.remove(container);
        }
    }

    /// Another file for a container's log.
    pub(super) fn reopen(&mut self, container: &str, log: OwnedFd) -> Result<(), PodError> {
        match self {
            Sink::Files { logs, .. } => {
                if let Some(file) = logs.get_mut(container) {
                    file.reopen(log);
                }
                Ok(())
            }
            Sink::Shim { .. } => Err(PodError::Invalid("a guest has no log files".into())),
        }
    }

    /// Whether output may be read now.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Sink::Files { .. } => true,
            Sink::Shim { bytes, .. } => *bytes < UNACKNOWLEDGED,
        }
    }

    /// Output of a container.
    pub(super) fn write(&mut self, cx: &mut Context, container: &str, channel: u32, bytes: &[u8]) {
        match self {
            Sink::Files { logs, .. } => {
                if let Some(log) = logs.get_mut(container) {
                    log.write(channel, bytes);
                }
            }
            Sink::Shim { .. } => {
                bytes.chunks(MAX_DATA).for_each(|data| self.send_log(cx, container, channel, data, false))
            }
        }
    }

    /// The end of one output of a container.
    pub(super) fn finish(&mut self, cx: &mut Context, container: &str, channel: u32) {
        match self {
            Sink::Files { logs, .. } => {
                if let Some(log) = logs.get_mut(container) {
                    log.finish(channel);
                }
            }
            Sink::Shim { .. } => self.send_log(cx, container, channel, &[], true),
        }
    }

    fn send_log(&mut self, cx: &mut Context, container: &str, channel: u32, data: &[u8], eof: bool) {
        let Sink::Shim { sequence, pending, bytes } = self else { return };
        *sequence += 1;
        pending.push_back((*sequence, data.len()));
        *bytes += data.len();
        let log = Log { sequence: *sequence, container: container.to_owned(), channel, data: data.to_vec(), eof };
        broadcast(cx, &Body::Log(log));
    }

    /// The end of a container: recorded, then announced.
    pub(super) fn exited(&mut self, cx: &mut Context, exit: &ContainerExit) {
        match self {
            Sink::Files { exits, .. } => {
                if let Err(error) = exits.record(exit) {
                    eprintln!("exit record of {}: {error}", exit.container);
                }
                cx.announce(event::Kind::Exited(Exited::from(exit)));
            }
            Sink::Shim { sequence, .. } => {
                *sequence += 1;
                let (container, code, oom) = (exit.container.clone(), exit.code, exit.oom);
                broadcast(cx, &Body::ExitReport(ExitReport { sequence: *sequence, container, code, oom }));
            }
        }
    }

    /// The pod is dead. A guest that is tells its shim by its own end.
    pub(super) fn gone(&mut self, cx: &mut Context, reason: &str) {
        if let Sink::Files { exits, .. } = self {
            if let Err(error) = exits.gone(reason) {
                eprintln!("last word: {error}");
            }
            cx.announce(event::Kind::Gone(Gone { reason: reason.to_owned() }));
        }
    }

    /// The shim has written everything up to this number.
    pub(super) fn acknowledged(&mut self, number: u64) -> Result<(), PodError> {
        let Sink::Shim { sequence, pending, bytes } = self else {
            return Err(PodError::Protocol("an acknowledgement to who keeps the logs".into()));
        };
        if number > *sequence {
            return Err(PodError::Protocol("an acknowledgement of what was not sent".into()));
        }
        while let Some((_, size)) = pending.pop_front_if(|(first, _)| *first <= number) {
            *bytes -= size;
        }
        Ok(())
    }
}

// An agent has exactly one requester.
fn broadcast(cx: &mut Context, body: &Body) {
    let connections: Vec<u32> = cx.connections.keys().copied().collect();
    connections.into_iter().for_each(|connection| cx.send(connection, body.clone()));
}
