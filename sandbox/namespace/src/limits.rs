//! Limits of a pod's cgroup that is ours.

use std::fs;
use std::io::Write;

use cofferdam_pod_client::cgroup;
use cofferdam_sandbox::SandboxError;

/// Scheduling period, microseconds.
const PERIOD: u64 = 100_000;

/// A value for the file of v1 or of v2, whichever there is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// What an error names.
    field: &'static str,
    files: [(&'static str, String); 2],
}

/// The files to write.
pub(crate) fn plan(cpus: Option<f64>, memory: Option<u64>) -> Vec<Limit> {
    let cpu = cpus.map(|cpus| {
        // The kernel takes no quota below a millisecond.
        let quota = ((cpus * PERIOD as f64).round() as u64).max(1000);
        let files = [("cpu.cfs_quota_us", quota.to_string()), ("cpu.max", format!("{quota} {PERIOD}"))];
        Limit { field: "resources.cpu_quota", files }
    });
    let memory = memory.map(|bytes| {
        let files = [("memory.limit_in_bytes", bytes.to_string()), ("memory.max", bytes.to_string())];
        Limit { field: "resources.memory_limit_in_bytes", files }
    });
    cpu.into_iter().chain(memory).collect()
}

/// Writes them.
pub(crate) fn apply(cgroup: &str, limits: &[Limit]) -> Result<(), SandboxError> {
    let hierarchies = cgroup::pod_hierarchies().map_err(|error| SandboxError::failed("find the cgroups", error))?;
    for limit in limits {
        let places = limit.files.iter().flat_map(|file| hierarchies.iter().map(move |root| (root, file)));
        let mut files = places.map(|(root, (name, value))| (root.join(cgroup.trim_matches('/')).join(name), value));
        let Some((path, value)) = files.find(|(path, _)| path.exists()) else {
            let reason = "the node has no controller for it".into();
            return Err(SandboxError::Unsupported { field: limit.field.into(), reason });
        };
        let written =
            fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|error| SandboxError::Resources(format!("{}: {value}: {error}", limit.field)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_form_for_each_version() {
        let plan = plan(Some(1.5), Some(1 << 20));
        assert_eq!(plan[0].files, [("cpu.cfs_quota_us", "150000".into()), ("cpu.max", "150000 100000".into())]);
        assert_eq!(plan[1].files[0], ("memory.limit_in_bytes", "1048576".into()));
        assert_eq!(super::plan(None, None), []);
        assert_eq!(super::plan(Some(0.001), None)[0].files[0].1, "1000");
    }
}
