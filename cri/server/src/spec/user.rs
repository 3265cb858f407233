//! Who a container runs as: CRI's security context, the image's `USER`, and the image's passwd and group files.

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{User, UserBuilder};

use super::error::{SpecError, builder};
use super::ids;

/// `/etc/passwd` and `/etc/group` of an image; empty where the image has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserFiles {
    pub passwd: String,
    pub group: String,
}

/// `USER` of an image.
const IMAGE_USER: &str = "image.config.User";

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
            ids::check("linux.security_context", value)?;
            u32::try_from(value).map_err(|e| SpecError::new("linux.security_context", e))
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
    let (image_name, image_group) = image_user.split_once(':').map_or((image_user, None), |(u, g)| (u, Some(g)));
    let from_image = security.run_as_user.is_none() && security.run_as_username.is_empty();
    let field = match (&security.run_as_user, from_image) {
        (_, true) => IMAGE_USER,
        (Some(_), _) => "linux.security_context.run_as_user",
        (None, _) => "linux.security_context.run_as_username",
    };
    let wanted = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(uid), _) => uid.value.to_string(),
        (None, "") if image_name.is_empty() => "0".to_owned(),
        (None, "") => image_name.to_owned(),
        (None, name) => name.to_owned(),
    };
    let entry = match ids::number(&wanted) {
        Some(uid) => passwd(files).find(|p| p.uid == uid),
        None => passwd(files).find(|p| p.name == wanted),
    };
    let uid = match (&entry, ids::number(&wanted)) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(SpecError::new(field, format!("no user {wanted:?} in the image's /etc/passwd"))),
    };
    ids::check(field, uid)?;
    let gid = match (&security.run_as_group, image_group.filter(|_| from_image)) {
        (Some(gid), _) => checked("linux.security_context.run_as_group", gid.value)?,
        (None, Some(group)) => checked(IMAGE_USER, group_id(group, files)?)?,
        (None, None) => checked("the image's /etc/passwd", entry.as_ref().map_or(0, |e| e.gid))?,
    };
    let mut groups: Vec<i64> = security.supplemental_groups.clone();
    for (i, group) in groups.iter().enumerate() {
        ids::check(format!("linux.security_context.supplemental_groups[{i}]"), *group)?;
    }
    if security.supplemental_groups_policy() == cri::SupplementalGroupsPolicy::Merge
        && let Some(entry) = &entry
    {
        for group in memberships(entry.name, files) {
            groups.push(checked("the image's /etc/group", group)?);
        }
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { uid, gid, groups })
}

fn checked(field: &str, id: i64) -> Result<i64, SpecError> {
    ids::check(field, id).map(|()| id)
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
    if let Some(gid) = ids::number(group) {
        return Ok(gid);
    }
    let found = groups(files).find(|(name, _, _)| *name == group).map(|(_, gid, _)| gid);
    found.ok_or_else(|| SpecError::new(IMAGE_USER, format!("no group {group:?} in the image's /etc/group")))
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

    /// The field that is refused; empty: none is.
    fn refused(security: &cri::LinuxContainerSecurityContext, image: &str, files: &UserFiles) -> String {
        identify(security, image, files).map_or_else(|e| e.field, |_| String::new())
    }

    #[test]
    fn an_image_cannot_run_as_an_id_that_the_kernel_takes_for_no_change() {
        let odd = UserFiles {
            passwd: "root:x:0:0::/:\nminus:x:4294967295:1::/:\nfar:x:2147483648:1::/:\nin:x:5:4294967295::/:\nok:x:6:6::/:\n"
                .into(),
            group: "none:x:4294967295:\nbig:x:3000000000:ok\n".into(),
        };
        let image = |user: &str| refused(&security(), user, &odd);
        for user in ["4294967295", "-1", "2147483648", "99999999999999999999", "minus", "far", "0:none", "0:4294967295"]
        {
            assert_eq!(image(user), "image.config.User", "{user}");
        }
        assert_eq!((image("in"), image("ok")), ("the image's /etc/passwd".into(), "the image's /etc/group".into()));
        assert_eq!((image("2147483647"), image("0:2147483647"), image("root")), Default::default());
    }

    #[test]
    fn a_request_cannot_either_and_its_field_is_named() {
        let field = |change: &dyn Fn(&mut cri::LinuxContainerSecurityContext)| {
            let mut s = security();
            change(&mut s);
            refused(&s, "", &files()).trim_start_matches("linux.security_context.").to_owned()
        };
        let value = |value| Some(cri::Int64Value { value });
        assert_eq!(field(&|s| s.run_as_user = value(4_294_967_295)), "run_as_user");
        assert_eq!(field(&|s| s.run_as_user = value(-1)), "run_as_user");
        assert_eq!(field(&|s| s.run_as_username = "4294967295".into()), "run_as_username");
        assert_eq!(field(&|s| s.supplemental_groups = vec![1, 1 << 31]), "supplemental_groups[1]");
        assert_eq!(field(&|s| (s.run_as_user, s.run_as_group) = (value(1), value(-1))), "run_as_group");
    }
}
