//! Who a container runs as: CRI's security context, the image's `USER`, and the image's passwd and group files.

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{User, UserBuilder};

use super::error::{SpecError, builder};

/// `/etc/passwd` and `/etc/group` of an image; empty where the image has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserFiles {
    pub passwd: String,
    pub group: String,
}

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: i64,
    pub gid: i64,
    /// With `gid`, as a login has it, sorted.
    pub groups: Vec<i64>,
}

struct Passwd<'a> {
    name: &'a str,
    uid: i64,
    gid: i64,
}

impl Identity {
    pub fn to_oci(&self) -> Result<User, SpecError> {
        let id = |value: i64| {
            u32::try_from(value)
                .map_err(|_| SpecError::new("linux.security_context", format!("id {value} is out of range")))
        };
        let groups = self.groups.iter().map(|g| id(*g)).collect::<Result<Vec<_>, _>>()?;
        UserBuilder::default().uid(id(self.uid)?).gid(id(self.gid)?).additional_gids(groups).build().map_err(builder)
    }
}

/// Resolves the user. A uid need not be in passwd; a name must be.
///
/// Groups (KEP-3619): `Merge` adds the memberships of the user in the image's group file, `Strict` does not.
pub(crate) fn identify(
    security: &cri::LinuxContainerSecurityContext,
    image_user: &str,
    files: &UserFiles,
) -> Result<Identity, SpecError> {
    let field = "linux.security_context.run_as_user";
    let (image_name, image_group) = image_user.split_once(':').map_or((image_user, None), |(u, g)| (u, Some(g)));
    let from_image = security.run_as_user.is_none() && security.run_as_username.is_empty();
    let wanted = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(uid), _) => uid.value.to_string(),
        (None, "") if image_name.is_empty() => "0".to_owned(),
        (None, "") => image_name.to_owned(),
        (None, name) => name.to_owned(),
    };
    let entry = match wanted.parse::<i64>() {
        Ok(uid) => passwd(files).find(|p| p.uid == uid),
        Err(_) => passwd(files).find(|p| p.name == wanted),
    };
    let uid = match (&entry, wanted.parse::<i64>()) {
        (Some(entry), _) => entry.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(SpecError::new(field, format!("no user {wanted:?} in the image's /etc/passwd"))),
    };
    let gid = match (&security.run_as_group, image_group.filter(|_| from_image)) {
        (Some(gid), _) => gid.value,
        (None, Some(group)) => group_id(group, files)?,
        (None, None) => entry.as_ref().map_or(0, |e| e.gid),
    };
    let mut groups: Vec<i64> = security.supplemental_groups.clone();
    if security.supplemental_groups_policy() == cri::SupplementalGroupsPolicy::Merge
        && let Some(entry) = &entry
    {
        groups.extend(memberships(entry.name, files));
    }
    if let Some(bad) = groups.iter().chain([&uid, &gid]).find(|id| u32::try_from(**id).is_err()) {
        return Err(SpecError::new("linux.security_context", format!("id {bad} is out of range")));
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { uid, gid, groups })
}

fn passwd(files: &UserFiles) -> impl Iterator<Item = Passwd<'_>> {
    files.passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Passwd { name, uid, gid })
    })
}

fn groups(files: &UserFiles) -> impl Iterator<Item = (&str, i64, &str)> {
    files.group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn group_id(group: &str, files: &UserFiles) -> Result<i64, SpecError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let found = groups(files).find(|(name, _, _)| *name == group).map(|(_, gid, _)| gid);
    found.ok_or_else(|| SpecError::new("image.config.User", format!("no group {group:?} in the image's /etc/group")))
}

fn memberships<'a>(name: &'a str, files: &'a UserFiles) -> impl Iterator<Item = i64> + 'a {
    groups(files).filter(move |(_, _, members)| members.split(',').any(|m| m == name)).map(|(_, gid, _)| gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> UserFiles {
        UserFiles {
            passwd: "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:34::/:/bin/sh\n".into(),
            group: "root:x:0:\nwww-data:x:34:\nweb:x:50:www-data,other\n".into(),
        }
    }

    fn security() -> cri::LinuxContainerSecurityContext {
        Default::default()
    }

    #[test]
    fn an_image_without_user_runs_as_root() {
        assert_eq!(identify(&security(), "", &files()).unwrap(), Identity { uid: 0, gid: 0, groups: vec![0] });
    }

    #[test]
    fn a_name_brings_its_group_and_memberships() {
        assert_eq!(
            identify(&security(), "www-data", &files()).unwrap(),
            Identity { uid: 33, gid: 34, groups: vec![34, 50] }
        );
    }

    #[test]
    fn strict_groups_come_from_the_pod_only() {
        let mut s = security();
        s.supplemental_groups = vec![7];
        s.supplemental_groups_policy = cri::SupplementalGroupsPolicy::Strict.into();
        assert_eq!(identify(&s, "www-data", &files()).unwrap().groups, [7, 34]);
    }

    #[test]
    fn the_images_group_does_not_follow_another_user() {
        let mut s = security();
        s.run_as_user = Some(cri::Int64Value { value: 1002 });
        assert_eq!(identify(&s, "www-data:web", &files()).unwrap(), Identity { uid: 1002, gid: 0, groups: vec![0] });
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        assert!(identify(&security(), "nobody-here", &files()).unwrap_err().to_string().contains("nobody-here"));
    }
}
