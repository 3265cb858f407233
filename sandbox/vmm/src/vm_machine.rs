//! The supervisor's machine over a VMM.

use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use cofferdam_pod_api::{BOOT_CONSOLE, BOOT_MESSAGES, BOOT_TAP, BootConfig, PodError};
use cofferdam_supervisor::{BootedMachine, Machine};

use crate::error::Step;
use crate::{Descriptors, Vmm, VmmError, privileges};

/// See [`crate::machine`].
pub struct VmMachine<V> {
    vmm: V,
}

impl<V: Vmm> VmMachine<V> {
    pub(crate) fn new(vmm: V) -> Self {
        VmMachine { vmm }
    }

    fn start(&mut self, mut config: BootConfig, fds: Vec<OwnedFd>) -> Result<BootedMachine, VmmError> {
        check(&config)?;
        let descriptors = descriptors(&config, fds)?;
        config.setup.powered_on =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let processes = self.vmm.boot(&config, descriptors)?;
        let (ports, watched) = (self.vmm.attach()?, self.vmm.wait()?);
        // From here on bytes of the guest are parsed.
        privileges::drop_all(config.uid).step("drop the shim's privileges")?;
        privileges::confine().step("confine the shim")?;
        Ok(BootedMachine { control: ports.control, data: ports.data, watched, setup: config.setup, processes })
    }
}

fn check(config: &BootConfig) -> Result<(), VmmError> {
    let refuse = |what: &str| Err(VmmError::Request(what.into()));
    if config.uid == 0 {
        return refuse("uid: the VMM never runs as root");
    }
    if config.cpus == 0 || config.memory == 0 || !config.memory.is_multiple_of(1 << 20) {
        return refuse("cpus, memory: at least one CPU, and whole mebibytes");
    }
    Ok(())
}

fn descriptors(config: &BootConfig, fds: Vec<OwnedFd>) -> Result<Descriptors, VmmError> {
    let wanted = if config.mac.is_some() { BOOT_TAP + 1 } else { BOOT_MESSAGES + 1 };
    if fds.len() != wanted {
        return Err(VmmError::Request(format!("{} descriptors came along instead of {wanted}", fds.len())));
    }
    let mut fds: Vec<Option<OwnedFd>> = fds.into_iter().map(Some).collect();
    let mut take = |index: usize| fds.get_mut(index).and_then(Option::take);
    match (take(BOOT_CONSOLE), take(BOOT_MESSAGES)) {
        (Some(console), Some(messages)) => Ok(Descriptors { console, messages, tap: take(BOOT_TAP) }),
        _ => Err(VmmError::Request("a descriptor is missing".into())),
    }
}

impl<V: Vmm> Machine for VmMachine<V> {
    fn boot(&mut self, config: BootConfig, fds: Vec<OwnedFd>) -> Result<BootedMachine, PodError> {
        self.start(config, fds).map_err(|error| {
            self.vmm.stop();
            match error {
                VmmError::Request(_) => PodError::Invalid(error.to_string()),
                VmmError::Failed { .. } => PodError::Failed(error.to_string()),
            }
        })
    }

    fn kill(&mut self) {
        self.vmm.stop();
    }
}
