//! One a pod: holds the pod, outlives the daemon.
//!
//! It is started by `sandbox/client` with three descriptors: 0 is the listening socket, 1 its configuration, 2 its own log. It stays in the
//! host's PID, mount and user namespaces; only its forked children enter the pod's.

mod cgroup;
mod process;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use cofferdam_container::PodRunner;
use cofferdam_sandbox::{PodError, ShimConfig, ShimKind};
use cofferdam_supervisor::{End, Engine, ExitRecords, serve, serve_broken};

fn main() -> ExitCode {
    let end = match process::take_descriptors() {
        Ok((listener, config)) => run(listener, &config),
        Err(error) => End::Failed(format!("descriptors: {error}")),
    };
    match end {
        End::Stopped => ExitCode::SUCCESS,
        End::Gone(reason) | End::Failed(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(listener: OwnedFd, config: &[u8]) -> End {
    let prepared = match process::detach() {
        Ok(()) => serde_json::from_slice(config).map_err(|error| format!("configuration: {error}")),
        Err(error) => Err(format!("process set-up: {error}")),
    };
    let config: ShimConfig = match prepared {
        Ok(config) => config,
        Err(reason) => return serve_broken(listener, &reason),
    };
    let joined = cgroup::join(&config.shim_cgroup).map_err(|error| PodError::Failed(error.to_string()));
    match joined.and_then(|()| engine(&config)) {
        Ok(engine) => {
            // The seccomp program of the init is no longer needed.
            drop(config);
            serve(listener, engine)
        }
        Err(error) => serve_broken(listener, &error.to_string()),
    }
}

fn engine(config: &ShimConfig) -> Result<Engine, PodError> {
    match &config.kind {
        ShimKind::Namespace(namespaces) => {
            let exits = exits(config)?;
            let runner = PodRunner::new(namespaces, config)?;
            Ok(Engine::new(Box::new(runner), exits))
        }
        ShimKind::Vm => Err(PodError::Invalid("this shim was built without VM sandboxes".into())),
    }
}

fn exits(config: &ShimConfig) -> Result<ExitRecords, PodError> {
    let failed = |error| PodError::Failed(format!("exit records in {}: {error}", config.dir.display()));
    ExitRecords::create(&config.dir).map_err(failed)
}
