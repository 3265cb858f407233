//! kubelet's word for a pod's cgroup, as a path below each hierarchy's root.

use cofferdam_cri_api::v1::CgroupDriver;

use super::error::SpecError;

/// The path of `linux.cgroup_parent`.
pub(super) fn parent_path(driver: CgroupDriver, parent: &str) -> Result<String, SpecError> {
    let path = match driver {
        CgroupDriver::Systemd => slice_path(parent),
        CgroupDriver::Cgroupfs => plain_path(parent),
    };
    path.map_err(|reason| SpecError::new("config.linux.cgroup_parent", format!("{parent:?} {reason}")))
}

/// `/kubepods/burstable/podUID`, as it is.
fn plain_path(parent: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Err("names no cgroup"),
        [only] if only.ends_with(".slice") => {
            Err("is a systemd slice, and this node's cgroup driver is cgroupfs (RuntimeConfig says so)")
        }
        parts if parts.iter().any(|part| *part == ".." || *part == ".") => Err("leaves its place"),
        parts => Ok(format!("/{}", parts.join("/"))),
    }
}

/// `kubepods-burstable-podUID.slice` lies in `kubepods.slice/kubepods-burstable.slice` (systemd.slice(5)).
fn slice_path(parent: &str) -> Result<String, &'static str> {
    let name = parent.trim_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".slice").ok_or("is no systemd slice, and this node's cgroup driver is systemd")?;
    if stem.split('-').any(|part| part.is_empty() || part.starts_with('.')) {
        return Err("is no slice's name");
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    Ok(ends.map(|end| format!("/{}.slice", &stem[..end])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_lies_in_the_slices_that_its_name_begins_with() {
        assert_eq!(
            slice_path("kubepods-burstable-pod1_2.slice").unwrap(),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice"
        );
        for bad in ["/kubepods/pod1", "-.slice", "a--b.slice", ".slice"] {
            assert!(slice_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_stays_below_the_root_and_is_no_slice() {
        assert_eq!(plain_path("kubepods//pod1/").unwrap(), "/kubepods/pod1");
        for bad in ["", "/", "/kubepods/../x", "kubepods-pod1.slice"] {
            assert!(plain_path(bad).is_err(), "{bad}");
        }
    }
}
