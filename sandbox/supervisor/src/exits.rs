//! Durable exit records: the slots of `cofferdam_pod_api`, in one file that was opened (and grows) before it is needed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use cofferdam_pod_api::{ContainerExit, EXITS_FILE, SLOT, encode_exit, encode_gone, encode_reserved};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fdatasync, ftruncate, open};
use rustix::io::pwrite;

/// Slots that are reserved at once.
const STEP: usize = 16;

#[derive(Debug)]
struct Taken {
    slot: usize,
    cgroup: String,
}

/// The exit records of one shim.
#[derive(Debug)]
pub struct ExitRecords {
    file: OwnedFd,
    slots: usize,
    taken: BTreeMap<String, Taken>,
}

impl ExitRecords {
    /// Makes the file in the pod's directory, with space for the first records.
    pub fn create(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = open(dir.join(EXITS_FILE), flags, Mode::RUSR | Mode::WUSR)?;
        let mut records = ExitRecords { file, slots: 0, taken: BTreeMap::new() };
        records.grow()?;
        Ok(records)
    }

    fn grow(&mut self) -> io::Result<()> {
        let length = ((self.slots + STEP) * SLOT) as u64;
        match fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            // Some file systems cannot reserve; a size is the best they have.
            Err(rustix::io::Errno::OPNOTSUPP) => ftruncate(&self.file, length)?,
            other => other?,
        }
        fdatasync(&self.file)?;
        self.slots += STEP;
        Ok(())
    }

    /// Reserves the space for a container's record. Without it the container must not start.
    pub fn reserve(&mut self, container: &str, cgroup: &str) -> io::Result<()> {
        if self.taken.contains_key(container) {
            return Ok(());
        }
        // Slot 0 is the last word.
        let free =
            |records: &Self| (1..records.slots).find(|slot| !records.taken.values().any(|taken| taken.slot == *slot));
        let slot = match free(self) {
            Some(slot) => slot,
            None => {
                self.grow()?;
                free(self).unwrap_or(self.slots - 1)
            }
        };
        self.put(slot, &encode_reserved(container, cgroup))?;
        self.taken.insert(container.to_owned(), Taken { slot, cgroup: cgroup.to_owned() });
        Ok(())
    }

    /// Writes a record so that it survives; only then may the exit be announced.
    pub fn record(&mut self, exit: &ContainerExit) -> io::Result<()> {
        let Some(Taken { slot, cgroup }) = self.taken.get(&exit.container) else {
            return Err(io::Error::other(format!("container {} has no slot", exit.container)));
        };
        self.put(*slot, &encode_exit(exit, cgroup))
    }

    /// The container is forgotten: whoever asked for it has its record.
    pub fn release(&mut self, container: &str) {
        if let Some(Taken { slot, .. }) = self.taken.remove(container) {
            let _ = pwrite(&self.file, &[0; SLOT], (slot * SLOT) as u64);
        }
    }

    /// The last word: why the sandbox died.
    pub fn gone(&mut self, reason: &str) -> io::Result<()> {
        self.put(0, &encode_gone(reason))
    }

    fn put(&self, slot: usize, bytes: &[u8; SLOT]) -> io::Result<()> {
        let written = pwrite(&self.file, bytes, (slot * SLOT) as u64)?;
        if written != SLOT {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        Ok(fdatasync(&self.file)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_pod_api::{Records, read_slots};
    use std::time::{Duration, UNIX_EPOCH};

    fn exit(container: &str, code: i32) -> ContainerExit {
        ContainerExit { container: container.into(), code, oom: false, at: UNIX_EPOCH + Duration::from_secs(1) }
    }

    fn read(dir: &Path) -> Records {
        read_slots(&std::fs::read(dir.join(EXITS_FILE)).unwrap())
    }

    #[test]
    fn records_outlive_the_writer_and_forgotten_ones_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = ExitRecords::create(dir.path()).unwrap();
        for n in 0..40 {
            records.reserve(&format!("c{n}"), &format!("/pod/c{n}")).unwrap();
            records.record(&exit(&format!("c{n}"), n)).unwrap();
        }
        records.release("c7");
        records.gone("QEMU died").unwrap();
        drop(records);
        let records = read(dir.path());
        let expected: Vec<_> = (0..40).filter(|n| *n != 7).map(|n| exit(&format!("c{n}"), n)).collect();
        assert_eq!((records.exits, records.gone.as_deref()), (expected, Some("QEMU died")));
        assert_eq!(records.cgroups.len(), 39);
    }

    #[test]
    fn an_exit_without_reserved_space_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = ExitRecords::create(dir.path()).unwrap();
        assert!(records.record(&exit("unknown", 0)).is_err());
    }
}
