//! `Setup`: makes the guest what its pod shall be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofferdam_container::PodRunner;
use cofferdam_pod_api::{GUEST_CGROUP, GuestSetup, MIN_SEED, NamespaceMode, PodError, SHARE_DIR, SHARE_TAG};
use cofferdam_supervisor::{Guest, Runner};
use cofferdam_sys::system::{MAX_SEED, credit_entropy, set_clock, uptime};

use crate::boot;

/// A clock that is off by less is left alone: the host's power-on and the kernel's start are not the same moment
/// either.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(100);

/// The machine that this process is the first of.
#[derive(Debug, Default)]
pub(crate) struct ThisGuest {
    /// A set-up that fails later may be tried again.
    share_mounted: bool,
}

impl Guest for ThisGuest {
    fn setup(&mut self, setup: &GuestSetup) -> Result<Box<dyn Runner>, PodError> {
        check(setup)?;
        // First of all: what follows may want random numbers or the time.
        seed(&setup.seed)?;
        clock(setup.powered_on)?;
        let failed = |what: &'static str| move |error: std::io::Error| PodError::Failed(format!("{what}: {error}"));
        rustix::system::sethostname(setup.hostname.as_bytes()).map_err(|e| failed("set the host name")(e.into()))?;
        boot::size_shm(setup.shm_size).map_err(failed("size /dev/shm"))?;
        if !self.share_mounted {
            boot::share(SHARE_TAG, SHARE_DIR).map_err(failed("mount the share"))?;
            self.share_mounted = true;
        }
        cofferdam_network::configure_guest(setup.link.as_ref()).map_err(failed("network"))?;
        // After the interface, which would not take over what is set in `default`.
        sysctls(&setup.sysctls)?;
        Ok(Box::new(PodRunner::in_guest(setup, GUEST_CGROUP)?))
    }
}

fn check(setup: &GuestSetup) -> Result<(), PodError> {
    let invalid = |reason: String| Err(PodError::Invalid(format!("guest set-up: {reason}")));
    if !(MIN_SEED..=MAX_SEED).contains(&setup.seed.len()) {
        return invalid(format!("a seed of {} bytes, {MIN_SEED} to {MAX_SEED} are allowed", setup.seed.len()));
    }
    if setup.shm_size == 0 {
        return invalid("shm_size is 0, which would be no limit".into());
    }
    if setup.pid == NamespaceMode::Node {
        return invalid("the PID namespace of the node cannot be given to a guest".into());
    }
    let Some(link) = &setup.link else { return Ok(()) };
    let orphan = link.gateways.iter().find(|g| !link.addresses.iter().any(|a| a.is_ipv4() == g.is_ipv4()));
    match orphan {
        Some(gateway) => invalid(format!("gateway {gateway} is of a family in which the pod has no address")),
        None => Ok(()),
    }
}

fn seed(seed: &[u8]) -> Result<(), PodError> {
    let credit = || credit_entropy(File::options().write(true).open("/dev/urandom")?.as_fd(), seed);
    credit().map_err(|error| PodError::Failed(format!("seed the random number generator: {error}")))
}

fn clock(powered_on: u64) -> Result<(), PodError> {
    let now = Duration::from_nanos(powered_on) + uptime();
    let shown = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now.abs_diff(shown) < CLOCK_TOLERANCE {
        return Ok(());
    }
    set_clock(now).map_err(|error| PodError::Failed(format!("set the clock: {error}")))
}

fn sysctls(wanted: &BTreeMap<String, String>) -> Result<(), PodError> {
    for (name, value) in wanted {
        let path = sysctl_path(name).ok_or_else(|| PodError::Invalid(format!("sysctl {name:?} is not a name")))?;
        fs::write(&path, value).map_err(|error| PodError::Failed(format!("set the sysctl {name}: {error}")))?;
    }
    Ok(())
}

/// Dots separate; nothing leads out of /proc/sys.
fn sysctl_path(name: &str) -> Option<PathBuf> {
    let plain = name.split('.').all(|part| !part.is_empty()) && !name.contains(['/', '\0']);
    plain.then(|| PathBuf::from("/proc/sys").join(name.replace('.', "/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_pod_api::GuestLink;

    fn setup() -> GuestSetup {
        GuestSetup {
            id: "a".repeat(64),
            hostname: "web".into(),
            pid: NamespaceMode::Container,
            sysctls: BTreeMap::new(),
            shm_size: 1 << 20,
            link: None,
            powered_on: 0,
            seed: vec![1; MIN_SEED],
            init_seccomp: Vec::new(),
        }
    }

    fn refusal(change: impl FnOnce(&mut GuestSetup)) -> String {
        let mut setup = setup();
        change(&mut setup);
        check(&setup).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        check(&setup()).unwrap();
        assert!(refusal(|s| s.seed.truncate(31)).contains("a seed of 31 bytes"));
        assert!(refusal(|s| s.seed = vec![0; 513]).contains("a seed of 513 bytes"));
        assert!(refusal(|s| s.shm_size = 0).contains("shm_size"));
        assert!(refusal(|s| s.pid = NamespaceMode::Node).contains("PID namespace"));
        let link = GuestLink {
            mac: [2; 6],
            gateway_mac: [4; 6],
            addresses: vec!["10.88.0.2".parse().unwrap()],
            gateways: vec!["169.254.1.1".parse().unwrap(), "fe80::1".parse().unwrap()],
            mtu: 1500,
        };
        assert!(refusal(|s| s.link = Some(link)).contains("gateway fe80::1"));
    }

    #[test]
    fn a_sysctl_stays_below_proc_sys() {
        let path = |name| sysctl_path(name).map(|p| p.display().to_string());
        assert_eq!(path("net.ipv4.ip_forward").as_deref(), Some("/proc/sys/net/ipv4/ip_forward"));
        for bad in ["", "net..x", "../../etc/passwd", "net/ipv4", ".net", "a.\0"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
