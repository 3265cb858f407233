//! One a pod: holds the pod, outlives the daemon.
//!
//! It is started by `sandbox/client` with three descriptors: 0 is the listening socket, 1 its configuration, 2 its own
//! log. It stays in the host's PID, mount and user namespaces; only its forked children enter the pod's.

mod process;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use cofferdam_container::PodRunner;
use cofferdam_pod_api::{PodError, ShimConfig, ShimKind};
use cofferdam_supervisor::{End, Engine, ExitRecords, Relay, serve, serve_broken, serve_vm};

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
        Ok(()) => ShimConfig::decode(config).map_err(|error| error.to_string()),
        Err(error) => Err(format!("process set-up: {error}")),
    };
    let config = match prepared {
        Ok(config) => config,
        Err(reason) => return serve_broken(listener, &reason),
    };
    match prepare(&config) {
        Ok(prepared) => {
            // The seccomp program of the init is no longer needed.
            drop(config);
            match prepared {
                Prepared::Namespace(engine) => serve(listener, *engine),
                Prepared::Vm(backend) => serve_vm(listener, *backend),
            }
        }
        Err(error) => serve_broken(listener, &error.to_string()),
    }
}

enum Prepared {
    Namespace(Box<Engine>),
    Vm(Box<Relay>),
}

fn prepare(config: &ShimConfig) -> Result<Prepared, PodError> {
    cofferdam_cgroup::join(&config.shim_cgroup).map_err(|error| PodError::Failed(error.to_string()))?;
    let exits = ExitRecords::create(&config.dir)
        .map_err(|error| PodError::Failed(format!("exit records in {}: {error}", config.dir.display())))?;
    Ok(match &config.kind {
        ShimKind::Namespace(namespaces) => {
            Prepared::Namespace(Box::new(Engine::new(Box::new(PodRunner::new(namespaces, config)?), exits)))
        }
        ShimKind::Vm => Prepared::Vm(Box::new(Relay::new(Box::new(cofferdam_vmm::machine(config)), exits))),
    })
}
