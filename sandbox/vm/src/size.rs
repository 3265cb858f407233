//! How much RAM a guest gets.

use cofferdam_pod_client::cgroup;
use cofferdam_sandbox::SandboxError;

const MIB: u64 = 1 << 20;

/// What QEMU and virtiofsd may need beside the guest's RAM, bytes. They are in the pod's cgroup with it.
/// Measured with emulation, the larger case, 60 MiB after a boot: QEMU itself, its translated code (bounded by
/// tb-size), virtiofsd, page tables.
pub const RESERVE: u64 = 96 * MIB;

/// Least RAM of a guest, bytes: kernel, initramfs and agent, and a small container.
pub const MINIMUM: u64 = 96 * MIB;

/// Guest RAM in bytes: the pod's limit less the reserve, or without a limit the size of the spec. Whole mebibytes.
pub fn guest_memory(limit: Option<u64>, size: u64) -> Result<u64, SandboxError> {
    let (memory, why) = match limit {
        Some(limit) => (
            limit.saturating_sub(RESERVE),
            format!("the pod's memory limit of {} MiB less {} MiB for the VMM", limit / MIB, RESERVE / MIB),
        ),
        None => (size, "the VM's size".to_owned()),
    };
    let memory = memory / MIB * MIB;
    if memory < MINIMUM {
        return Err(SandboxError::Resources(format!(
            "a VM needs at least {} MiB of RAM, {why} leaves {} MiB; a pod with limits needs at least {} MiB in all",
            MINIMUM / MIB,
            memory / MIB,
            (MINIMUM + RESERVE) / MIB
        )));
    }
    Ok(memory)
}

/// The memory limit of a cgroup, if it has one.
pub(crate) fn limit_of(path: &str) -> Option<u64> {
    let mounts = cgroup::hierarchies().unwrap_or_default();
    let files = mounts.iter().map(|mount| mount.join(path.trim_start_matches('/')));
    let read = |file: std::path::PathBuf| std::fs::read_to_string(file).ok();
    files
        .filter_map(|dir| read(dir.join("memory.limit_in_bytes")).or_else(|| read(dir.join("memory.max"))))
        .find_map(|text| parse(&text))
}

// v1 writes "no limit" as the largest number of pages.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_less_the_reserve_and_else_the_size() {
        assert_eq!(guest_memory(Some(512 * MIB + 5), 1).unwrap(), 512 * MIB - RESERVE);
        assert_eq!(guest_memory(None, 256 * MIB).unwrap(), 256 * MIB);
    }

    #[test]
    fn below_the_minimum_the_pod_is_refused_with_the_number_it_needs() {
        for (limit, size) in [(Some(64 * MIB), 256 * MIB), (None, MINIMUM - 1)] {
            let error = guest_memory(limit, size).unwrap_err();
            assert!(
                matches!(&error, SandboxError::Resources(_)) && error.to_string().contains("192 MiB in all"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_limit_is_told_from_a_limit() {
        assert_eq!((parse("9223372036854771712\n"), parse("max\n"), parse("1048576\n")), (None, None, Some(MIB)));
    }
}
