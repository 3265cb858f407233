//! Which numbers are ids of users and groups.
//!
//! The kernel has 32 bits for them and takes the last one for "leave it as it is": `setresuid(-1)` succeeds and changes
//! nothing, so a process that was to run as 4294967295 runs as root. Other runtimes end at 2^31-1, as does this one.

use cofferdam_cri_api::v1 as cri;

use super::error::SpecError;

/// The largest id.
pub(crate) const LARGEST: i64 = i32::MAX as i64;

/// Whether it is one.
pub(crate) fn valid(id: i64) -> bool {
    (0..=LARGEST).contains(&id)
}

/// Refuses what is none.
pub(super) fn check(field: impl Into<String>, id: i64) -> Result<(), SpecError> {
    if valid(id) { Ok(()) } else { Err(SpecError::new(field, format!("{id} is no id: they are 0 to {LARGEST}"))) }
}

/// The fields of a security context that hold ids.
pub(super) fn check_user(
    field: &str,
    user: Option<&cri::Int64Value>,
    group: Option<&cri::Int64Value>,
    groups: &[i64],
) -> Result<(), SpecError> {
    for (name, id) in [("run_as_user", user), ("run_as_group", group)] {
        id.map_or(Ok(()), |id| check(format!("{field}.{name}"), id.value))?;
    }
    groups.iter().enumerate().try_for_each(|(i, id)| check(format!("{field}.supplemental_groups[{i}]"), *id))
}

/// The ranges of a mapping, which are not empty.
pub(super) fn check_mappings(field: &str, maps: &[cri::IdMapping]) -> Result<(), SpecError> {
    for (i, map) in maps.iter().enumerate() {
        let fits = |first: u32| i64::from(first) + i64::from(map.length) - 1 <= LARGEST;
        if map.length == 0 || !fits(map.container_id) || !fits(map.host_id) {
            let cri::IdMapping { host_id, container_id, length } = map;
            let range = format!("{length} ids from {container_id} on, {host_id} on the host");
            return Err(SpecError::new(format!("{field}[{i}]"), format!("{range}: ids are 0 to {LARGEST}")));
        }
    }
    Ok(())
}

/// The number that a text is, if it is one; one that does not fit is one that is refused.
pub(super) fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| text.parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_where_the_kernel_could_take_them_for_something_else() {
        assert!(valid(0) && valid(65_534) && valid(2_147_483_647));
        for id in [-1, 2_147_483_648, 4_294_967_294, 4_294_967_295, i64::MAX, i64::MIN] {
            assert_eq!(check("f", id).unwrap_err().field, "f", "{id}");
        }
    }

    #[test]
    fn a_mapping_is_refused_by_its_place_when_an_end_of_it_is_no_id() {
        let map = |container_id, host_id, length| cri::IdMapping { host_id, container_id, length };
        assert_eq!(check_mappings("m", &[map(0, 65_536, 65_536), map(65_536, 2_147_418_112, 65_536)]), Ok(()));
        for bad in [map(0, 65_536, 0), map(0, 2_147_418_113, 65_536), map(u32::MAX, 0, 1), map(0, 0, u32::MAX)] {
            assert_eq!(check_mappings("m", &[map(0, 65_536, 1), bad]).unwrap_err().field, "m[1]");
        }
    }

    #[test]
    fn a_number_is_known_as_one_however_large() {
        assert_eq!((number("12"), number("-1"), number("99999999999999999999")), (Some(12), Some(-1), Some(i64::MAX)));
        assert_eq!((number("www-data"), number(""), number("-"), number("1a")), (None, None, None, None));
    }
}
