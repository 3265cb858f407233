//! States and exits of containers between their types and their messages.

use crate::clock::{nanos, time};
use crate::error::PodError;
use crate::state::{ContainerExit, ContainerState, ContainerStatus};
use crate::{Exited, Status};

impl From<&ContainerExit> for Exited {
    fn from(exit: &ContainerExit) -> Self {
        Exited { container: exit.container.clone(), code: exit.code, oom: exit.oom, at: nanos(exit.at) }
    }
}

impl From<Exited> for ContainerExit {
    fn from(exit: Exited) -> Self {
        ContainerExit { container: exit.container, code: exit.code, oom: exit.oom, at: time(exit.at) }
    }
}

/// A status as it is sent.
pub fn status_to(status: &ContainerStatus) -> Status {
    Status {
        id: status.id.clone(),
        state: match status.state {
            ContainerState::Created => 0,
            ContainerState::Running => 1,
            ContainerState::Exited => 2,
        },
        pid: status.pid,
        started_at: status.started_at.map_or(0, nanos),
        exit: status.exit.as_ref().map(Exited::from),
    }
}

/// A status as it came.
pub fn status_from(status: Status) -> Result<ContainerStatus, PodError> {
    let state = match status.state {
        0 => ContainerState::Created,
        1 => ContainerState::Running,
        2 => ContainerState::Exited,
        other => return Err(PodError::Protocol(format!("container {}: unknown state {other}", status.id))),
    };
    Ok(ContainerStatus {
        id: status.id,
        state,
        pid: status.pid,
        started_at: (status.started_at != 0).then(|| time(status.started_at)),
        exit: status.exit.map(ContainerExit::from),
    })
}
