//! Options of a mount: flags, propagation, data of the file system. Pure.

use cofferdam_sys::mount::{
    ATIME, Attributes, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, STRICTATIME,
};
use oci_spec::runtime::Mount;

use crate::Error;

const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// The options of one mount, understood.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// A bind mount.
    pub bind: bool,
    /// With all mounts below the source.
    pub recursive: bool,
    /// For the mount itself.
    pub own: Attributes,
    /// For it and all below.
    pub all: Attributes,
    /// For the file system: key and value.
    pub data: Vec<(String, Option<String>)>,
}

impl Options {
    pub fn of(mount: &Mount) -> Result<Self, Error> {
        let kind = mount.typ().as_deref().unwrap_or_default();
        let mut options = Options { bind: kind == "bind", ..Options::default() };
        for word in mount.options().iter().flatten() {
            options.word(word);
        }
        let at = mount.destination().display();
        if options.bind
            && let Some((key, _)) = options.data.first()
        {
            return Err(Error::refused(
                format!("mounts[{at}].options"),
                format!("{key:?} is not an option of a bind mount"),
            ));
        }
        if options.data.iter().any(|(key, _)| ["tmpcopyup", "remount"].contains(&key.as_str())) {
            return Err(Error::refused(format!("mounts[{at}].options"), "tmpcopyup and remount are not supported"));
        }
        if mount.uid_mappings().is_some() != mount.gid_mappings().is_some() {
            return Err(Error::refused(format!("mounts[{at}].uidMappings"), "UID and GID mappings come together"));
        }
        if mount.uid_mappings().is_some() && !options.bind {
            return Err(Error::refused(format!("mounts[{at}].uidMappings"), "only bind mounts are mapped"));
        }
        // Devices and set-uid files of one layer down count as well: read-only is the kernel's to enforce.
        Ok(options)
    }

    fn word(&mut self, word: &str) {
        let (all, name) =
            match word.strip_prefix('r').filter(|rest| ["ro", "nosuid", "nodev", "noexec", "noatime"].contains(rest)) {
                Some(rest) => (true, rest),
                None => (false, word),
            };
        let target = if all { &mut self.all } else { &mut self.own };
        let mut set = |bit| target.set |= bit;
        match name {
            "ro" => set(RDONLY),
            "nosuid" => set(NOSUID),
            "nodev" => set(NODEV),
            "noexec" => set(NOEXEC),
            "nodiratime" => set(NODIRATIME),
            "nosymfollow" => set(NOSYMFOLLOW),
            "noatime" => (target.set, target.clear) = (target.set | NOATIME, target.clear | ATIME),
            "strictatime" => (target.set, target.clear) = (target.set | STRICTATIME, target.clear | ATIME),
            "relatime" => target.clear |= ATIME,
            "rw" => target.clear |= RDONLY,
            "suid" => target.clear |= NOSUID,
            "dev" => target.clear |= NODEV,
            "exec" => target.clear |= NOEXEC,
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "private" => self.own.propagation = MS_PRIVATE,
            "slave" => self.own.propagation = MS_SLAVE,
            "shared" => self.own.propagation = MS_SHARED,
            "rprivate" => self.all.propagation = MS_PRIVATE,
            "rslave" => self.all.propagation = MS_SLAVE,
            "rshared" => self.all.propagation = MS_SHARED,
            "defaults" | "idmap" | "ridmap" => {}
            other => self.data.push(match other.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (other.to_owned(), None),
            }),
        }
    }

    /// What is mounted in it is mounted at its source as well.
    pub fn shared(&self) -> bool {
        self.own.propagation == MS_SHARED || self.all.propagation == MS_SHARED
    }

    /// Attributes for fsmount: those of the mount itself.
    pub fn mount_flags(&self) -> u32 {
        u32::try_from(self.own.set).unwrap_or_default()
    }
}

/// The propagation of a root, as mount_setattr takes it; private ones need none.
pub(crate) fn root_propagation(text: &str) -> u64 {
    match text {
        "slave" | "rslave" => MS_SLAVE,
        "shared" | "rshared" => MS_SHARED,
        _ => 0,
    }
}

/// Private, for what is cloned without a word on propagation.
pub(crate) const PRIVATE: u64 = MS_PRIVATE;

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::MountBuilder;

    fn parse(words: &[&str]) -> Result<Options, Error> {
        let words: Vec<String> = words.iter().map(|w| w.to_string()).collect();
        Options::of(&MountBuilder::default().destination("/x").typ("bind").source("/y").options(words).build().unwrap())
    }

    #[test]
    fn read_only_is_of_the_mount_and_rro_of_the_tree() {
        let ro = parse(&["rbind", "rprivate", "ro"]).unwrap();
        assert_eq!((ro.own.set, ro.all.set, ro.all.propagation, ro.recursive), (RDONLY, 0, MS_PRIVATE, true));
        assert_eq!(parse(&["rbind", "rro"]).unwrap().all.set, RDONLY);
    }

    #[test]
    fn an_unknown_option_of_a_bind_mount_is_refused_with_its_place() {
        assert!(parse(&["bind", "nonsense"]).unwrap_err().to_string().contains("mounts[/x].options"));
    }
}
