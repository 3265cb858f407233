//! Released addresses, written down as they are released: the quarantine outlives the daemon. One line an address, in
//! the order of release; the file is written anew when most of it is of the past.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::ipam::QUARANTINE;

/// Lines beyond which what is past is dropped.
const LINES: usize = 4096;

/// The file, and what of it still counts.
pub(crate) struct Quarantine {
    path: PathBuf,
    /// Address and time since the boot.
    resting: Vec<(IpAddr, Duration)>,
    lines: usize,
}

/// Time since the boot; it goes on while the machine sleeps, and no clock is set by it.
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Quarantine {
    /// What an earlier daemon released, longest ago first, with the time that it has rested. What is written there and
    /// lies in the future is of another boot, and has rested for no time.
    pub fn open(path: PathBuf, now: Duration) -> io::Result<(Self, Vec<(IpAddr, Duration)>)> {
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        // A line that is cut is of an address that was not released yet.
        let resting: Vec<(IpAddr, Duration)> = text.lines().filter_map(|line| parse(line, now)).collect();
        let rested = resting.iter().map(|(address, at)| (*address, now.saturating_sub(*at))).collect();
        let mut quarantine = Quarantine { path, resting, lines: 0 };
        quarantine.rewrite()?;
        Ok((quarantine, rested))
    }

    /// Writes down that these addresses rest from now on; before anybody can have them.
    pub fn add(&mut self, addresses: &[IpAddr], now: Duration) -> io::Result<()> {
        self.resting.retain(|(_, at)| is_resting(*at, now));
        self.resting.extend(addresses.iter().map(|address| (*address, now)));
        if self.lines > LINES + 2 * self.resting.len() {
            return self.rewrite();
        }
        self.lines += addresses.len();
        let text: String = addresses.iter().map(|address| line(*address, now)).collect();
        self.file(false)?.write_all(text.as_bytes())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let text: String = self.resting.iter().map(|(address, at)| line(*address, *at)).collect();
        self.lines = self.resting.len();
        let path = self.path.clone();
        self.path = path.with_extension("part");
        let written = self.file(true).and_then(|mut file| file.write_all(text.as_bytes()));
        let part = std::mem::replace(&mut self.path, path);
        written?;
        std::fs::rename(part, &self.path)
    }

    fn file(&self, anew: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(!anew).write(true).truncate(anew).mode(0o600).open(&self.path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(file)
    }
}

fn is_resting(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) < QUARANTINE
}

fn line(address: IpAddr, at: Duration) -> String {
    format!("{address} {}\n", at.as_millis())
}

fn parse(line: &str, now: Duration) -> Option<(IpAddr, Duration)> {
    let (address, at) = line.split_once(' ')?;
    let at = Duration::from_millis(at.parse().ok()?).min(now);
    is_resting(at, now).then_some((address.parse().ok()?, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_a_minute_ago_is_free_again_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quarantine");
        let at = Duration::from_secs;
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let (mut first, none) = Quarantine::open(path.clone(), at(100)).unwrap();
        assert!(none.is_empty());
        first.add(&[address(1)], at(100)).unwrap();
        first.add(&[address(2), "fd00::2".parse().unwrap()], at(150)).unwrap();
        let (_, rested) = Quarantine::open(path.clone(), at(159)).unwrap();
        assert_eq!(rested, [(address(1), at(59)), (address(2), at(9)), ("fd00::2".parse().unwrap(), at(9))]);
        let (mut second, rested) = Quarantine::open(path.clone(), at(160)).unwrap();
        assert_eq!(rested.len(), 2);
        for n in 0..20_000 {
            second.add(&[address(n)], at(200 + u64::from(n))).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap().lines().count() < 2 * LINES);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // After a boot the clock begins anew.
        let (_, rested) = Quarantine::open(path, at(5)).unwrap();
        assert!(rested.iter().all(|(_, age)| age.is_zero()) && !rested.is_empty());
    }
}
