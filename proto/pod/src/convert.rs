//! Between the protocol's messages and the types of `cofferdam_sandbox`.

use cofferdam_sandbox::{ContainerExit, ContainerState, ContainerStatus, PodError};

use crate::exits::{nanos, time};
use crate::{Error, ErrorKind, Exited, Status};

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

/// An error as it is sent.
pub fn error_to(error: &PodError) -> Error {
    let (kind, message) = match error {
        PodError::Failed(message) => (ErrorKind::Failed, message),
        PodError::Gone(message) => (ErrorKind::Gone, message),
        PodError::NotFound(message) => (ErrorKind::NotFound, message),
        PodError::State(message) => (ErrorKind::State, message),
        PodError::Invalid(message) => (ErrorKind::Invalid, message),
        PodError::Protocol(message) => (ErrorKind::Protocol, message),
    };
    Error { kind: kind.into(), message: message.clone() }
}

/// An error as it came; a kind of a later version is a plain failure.
pub fn error_from(error: Error) -> PodError {
    match error.kind() {
        ErrorKind::Failed => PodError::Failed(error.message),
        ErrorKind::Gone => PodError::Gone(error.message),
        ErrorKind::NotFound => PodError::NotFound(error.message),
        ErrorKind::State => PodError::State(error.message),
        ErrorKind::Invalid => PodError::Invalid(error.message),
        ErrorKind::Protocol => PodError::Protocol(error.message),
    }
}
