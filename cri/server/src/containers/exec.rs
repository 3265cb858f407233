//! The spec of one more process in a container.

use cofferdam_sandbox::ExecSpec;
use cofferdam_store::{ContainerEntry, ContainerPhase};

use crate::error::Error;
use crate::ids;

/// A process with the privileges of the container's first one, which has to run.
pub(crate) fn exec_spec(
    entry: &ContainerEntry,
    cmd: &[String],
    terminal: bool,
    stdin: bool,
) -> Result<ExecSpec, Error> {
    if entry.phase() != ContainerPhase::Running {
        return Err(Error::Precondition(format!("container {} is not running", entry.id)));
    }
    if cmd.first().is_none_or(String::is_empty) {
        return Err(Error::Invalid("cmd: is empty".into()));
    }
    let mut process = entry.process().clone();
    process.set_args(Some(cmd.to_vec()));
    process.set_terminal(Some(terminal));
    if terminal {
        let env = process.env().clone().unwrap_or_default();
        if !env.iter().any(|v| v.starts_with("TERM=")) {
            process.set_env(Some([env, vec!["TERM=xterm".into()]].concat()));
        }
    }
    Ok(ExecSpec { container: entry.id.clone(), id: ids::new(), process, stdin })
}
