//! Which file system a path leads to, and where in it: by the kernel's list of mounts (proc_pid_mountinfo(5)). Pure.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A file as the kernel tells it: the mount that it is reached by, and its path there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Number of the mount.
    pub mount: u64,
    /// Without links.
    pub path: PathBuf,
}

/// A file wherever it is reached from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file system: its device, `8:1`.
    pub device: String,
    /// In the file system.
    pub path: PathBuf,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Its number.
    id: u64,
    /// Its root.
    pub root: Place,
    /// Where it is.
    pub point: PathBuf,
    /// NFS tells `/` as every root.
    pub nameless: bool,
}

/// All mounts that the daemon sees.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<Mounted>);

impl Mounts {
    /// Lines that are none of mountinfo name no mount.
    pub fn parse(mountinfo: &[u8]) -> Mounts {
        Mounts(mountinfo.split(|b| *b == b'\n').filter_map(line).collect())
    }

    /// The mount of a file.
    pub fn of(&self, found: &Found) -> Option<&Mounted> {
        self.0.iter().find(|m| m.id == found.mount)
    }

    /// Where a file lies.
    pub fn place(&self, found: &Found) -> Option<Place> {
        let mount = self.of(found)?;
        let below = found.path.strip_prefix(&mount.point).ok()?;
        let path = if below.as_os_str().is_empty() { mount.root.path.clone() } else { mount.root.path.join(below) };
        Some(Place { device: mount.root.device.clone(), path })
    }

    /// Those below a path, which is not one itself.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Mounted> {
        self.0.iter().filter(move |m| m.point != path && m.point.starts_with(path))
    }

    /// Those of a file system.
    pub fn of_device<'a>(&'a self, device: &'a str) -> impl Iterator<Item = &'a Mounted> {
        self.0.iter().filter(move |m| m.root.device == device)
    }
}

fn line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = std::str::from_utf8(fields.nth(1)?).ok()?.to_owned();
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // Optional fields end with a dash; the type comes then.
    let kind = fields.skip_while(|f| *f != b"-").nth(1)?;
    // The root of a bind mount may have been removed meanwhile.
    let path = root.as_os_str().as_bytes().strip_suffix(b"//deleted").map_or(root.clone(), path);
    Some(Mounted { id, root: Place { device, path }, point, nameless: kind.starts_with(b"nfs") })
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Blanks, tabs, newlines and backslashes are written as octal numbers.
fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'\\').then(|| more.get(..3)).flatten();
        match code.and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 8).ok()) {
            Some(byte) => (bytes.push(byte), rest = &more[3..]).1,
            None => (bytes.push(*first), rest = more).1,
        }
    }
    path(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(mountinfo: &str, mount: u64, path: &str) -> Option<(String, String)> {
        let found = Found { mount, path: path.into() };
        let place = Mounts::parse(mountinfo.as_bytes()).place(&found)?;
        Some((place.device, place.path.to_string_lossy().into_owned()))
    }

    #[test]
    fn a_file_is_found_by_file_system_and_path_whatever_mount_leads_to_it() {
        let mountinfo = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
             40 21 8:1 /var/lib/a\\040b/c /mnt/x\\134y rw - ext4 /dev/sda1 rw\n\
             41 21 8:1 /gone//deleted /mnt/gone rw - ext4 /dev/sda1 rw\nnonsense\n\n";
        let sda = |path: &str| Some(("8:1".to_owned(), path.to_owned()));
        assert_eq!(place(mountinfo, 21, "/etc"), sda("/etc"));
        assert_eq!(place(mountinfo, 40, "/mnt/x\\y"), sda("/var/lib/a b/c"));
        assert_eq!(place(mountinfo, 40, "/mnt/x\\y/d"), sda("/var/lib/a b/c/d"));
        assert_eq!(place(mountinfo, 41, "/mnt/gone"), sda("/gone"));
        assert_eq!(place(mountinfo, 99, "/etc"), None);
        assert_eq!(place(mountinfo, 40, "/elsewhere"), None);
    }
}
