//! Whether guests run on the CPU or are emulated.

use std::fs::OpenOptions;
use std::str::FromStr;

/// `[vm] accel`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM where it works, otherwise emulation.
    #[default]
    Auto,
    /// KVM or no VM.
    Kvm,
    /// Emulation.
    Tcg,
}

impl FromStr for Accel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Accel::Auto),
            "kvm" => Ok(Accel::Kvm),
            "tcg" => Ok(Accel::Tcg),
            other => Err(format!("{other:?} is none of auto, kvm and tcg")),
        }
    }
}

/// What this node can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Why KVM cannot be used.
    pub(crate) no_kvm: Option<String>,
}

/// What follows of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Hardware,
    /// With the reason, if nobody asked for it.
    Emulation(Option<String>),
    Impossible(String),
}

impl Found {
    /// Looks. A `/dev/kvm` that opens is no proof: nested hosts have one that makes no VM.
    pub(crate) fn look() -> Self {
        let opened =
            OpenOptions::new().read(true).write(true).open("/dev/kvm").map(drop).map_err(|error| error.to_string());
        found(opened, &std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }
}

fn found(kvm: Result<(), String>, cpuinfo: &str) -> Found {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let capable = flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    let no_kvm = match kvm {
        Err(error) => Some(format!("/dev/kvm: {error}")),
        Ok(()) if !capable => Some("the CPU shows neither vmx nor svm".into()),
        Ok(()) => None,
    };
    Found { no_kvm }
}

pub(crate) fn choose(accel: Accel, found: &Found) -> Choice {
    match (accel, &found.no_kvm) {
        (Accel::Tcg, _) => Choice::Emulation(None),
        (_, None) => Choice::Hardware,
        (Accel::Auto, Some(reason)) => Choice::Emulation(Some(reason.clone())),
        (Accel::Kvm, Some(reason)) => Choice::Impossible(format!("[vm] accel = \"kvm\", but {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kvm_that_opens_is_used_only_on_a_cpu_that_can() {
        let without = found(Ok(()), "processor : 0\nflags\t\t: fpu vme svm_lock hypervisor\n");
        assert_eq!(choose(Accel::Auto, &without), Choice::Emulation(Some("the CPU shows neither vmx nor svm".into())));
        assert!(matches!(choose(Accel::Kvm, &without), Choice::Impossible(reason) if reason.contains("accel")));
        let with = found(Ok(()), "flags\t\t: fpu vmx\n");
        assert_eq!(choose(Accel::Auto, &with), Choice::Hardware);
        assert_eq!(choose(Accel::Tcg, &with), Choice::Emulation(None));
        assert!(
            found(Err("Permission denied".into()), "flags : svm")
                .no_kvm
                .is_some_and(|reason| reason.contains("Permission"))
        );
    }
}
