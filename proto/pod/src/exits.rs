//! Durable exit records: a file of fixed slots, whose space is reserved before a container may start, so that a full
//! disk loses no exit. The shim writes it, the daemon reads it when the shim is dead.
//!
//! Each slot is one line of JSON, padded with blanks and ended by a newline; a slot that does not parse is empty. Slot
//! 0 is the shim's last word: why the sandbox died.

use serde_json::{Value, json};

use crate::clock::{nanos, time};
use crate::state::ContainerExit;

/// Name of the file in a pod's directory.
pub const EXITS_FILE: &str = "exits";

/// Bytes of a slot. Divides the page, so a slot is written as a whole or not.
pub const SLOT: usize = 512;

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotContent {
    /// Nothing, or a write that was cut off.
    Empty,
    /// A container that has not ended yet, and its cgroup: who finds the shim dead kills what is in there.
    Reserved {
        /// Container id.
        container: String,
        /// Path below each hierarchy's root; empty if it did not fit.
        cgroup: String,
    },
    /// An exit.
    Exit {
        /// The exit.
        exit: ContainerExit,
        /// As in `Reserved`.
        cgroup: String,
    },
    /// Why the sandbox died.
    Gone(String),
}

/// A container that may run from now on, as a slot.
pub fn encode_reserved(container: &str, cgroup: &str) -> [u8; SLOT] {
    fit(|cgroup| json!({"container": container, "cgroup": cgroup}).to_string(), cgroup)
}

/// An exit as a slot.
pub fn encode_exit(exit: &ContainerExit, cgroup: &str) -> [u8; SLOT] {
    let at = nanos(exit.at);
    fit(
        |cgroup| {
            json!({"container": exit.container, "cgroup": cgroup, "code": exit.code, "oom": exit.oom, "at": at})
                .to_string()
        },
        cgroup,
    )
}

// The cgroup is the one part of unknown length, and the one that can be missing.
fn fit(line: impl Fn(&str) -> String, cgroup: &str) -> [u8; SLOT] {
    let whole = line(cgroup);
    if whole.len() < SLOT { pad(&whole) } else { pad(&line("")) }
}

/// The shim's last word as a slot; cut to what fits.
pub fn encode_gone(reason: &str) -> [u8; SLOT] {
    let mut reason: String = reason.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
    loop {
        let line = json!({"gone": reason}).to_string();
        if line.len() < SLOT {
            return pad(&line);
        }
        reason.pop();
    }
}

fn pad(line: &str) -> [u8; SLOT] {
    let mut slot = [b' '; SLOT];
    let length = line.len().min(SLOT - 1);
    slot[..length].copy_from_slice(&line.as_bytes()[..length]);
    slot[SLOT - 1] = b'\n';
    slot
}

/// What a slot holds.
pub fn decode_slot(slot: &[u8]) -> SlotContent {
    let Ok(value) = serde_json::from_slice::<Value>(slot) else { return SlotContent::Empty };
    if let Some(reason) = value["gone"].as_str() {
        return SlotContent::Gone(reason.to_owned());
    }
    let Some(container) = value["container"].as_str().map(str::to_owned) else { return SlotContent::Empty };
    let cgroup = value["cgroup"].as_str().unwrap_or_default().to_owned();
    match (value["code"].as_i64(), value["oom"].as_bool(), value["at"].as_i64()) {
        (Some(code), Some(oom), Some(at)) => {
            let exit = ContainerExit { container, code: i32::try_from(code).unwrap_or(255), oom, at: time(at) };
            SlotContent::Exit { exit, cgroup }
        }
        _ => SlotContent::Reserved { container, cgroup },
    }
}

/// All that a file of slots holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Exits.
    pub exits: Vec<ContainerExit>,
    /// Cgroups of all containers, ended or not.
    pub cgroups: Vec<String>,
    /// Why the sandbox died.
    pub gone: Option<String>,
}

/// Reads a file of slots.
pub fn read_slots(file: &[u8]) -> Records {
    let mut records = Records::default();
    for slot in file.chunks(SLOT) {
        let cgroup = match decode_slot(slot) {
            SlotContent::Exit { exit, cgroup } => {
                records.exits.push(exit);
                cgroup
            }
            SlotContent::Reserved { cgroup, .. } => cgroup,
            SlotContent::Gone(reason) => {
                records.gone = Some(reason);
                continue;
            }
            SlotContent::Empty => continue,
        };
        if !cgroup.is_empty() {
            records.cgroups.push(cgroup);
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit() -> ContainerExit {
        ContainerExit { container: "a".repeat(64), code: -1, oom: true, at: time(1_700_000_000_123_456_789) }
    }

    #[test]
    fn what_is_written_is_read() {
        let expected = SlotContent::Exit { exit: exit(), cgroup: "/pod/a".into() };
        assert_eq!(decode_slot(&encode_exit(&exit(), "/pod/a")), expected);
        assert_eq!(decode_slot(&encode_gone("QEMU died")), SlotContent::Gone("QEMU died".into()));
    }

    #[test]
    fn empty_and_torn_slots_are_passed_over() {
        let mut file = vec![0; SLOT];
        file.extend(encode_exit(&exit(), "/pod/a"));
        let mut torn = encode_exit(&exit(), "");
        torn[100..].fill(0);
        file.extend(torn);
        file.extend(encode_reserved("b", "/pod/b"));
        assert_eq!(
            read_slots(&file),
            Records { exits: vec![exit()], cgroups: vec!["/pod/a".into(), "/pod/b".into()], gone: None }
        );
    }

    #[test]
    fn a_cgroup_path_that_does_not_fit_never_costs_the_exit() {
        let slot = encode_exit(&exit(), &"x".repeat(SLOT));
        assert_eq!(decode_slot(&slot), SlotContent::Exit { exit: exit(), cgroup: String::new() });
    }

    #[test]
    fn a_long_last_word_is_cut_to_its_slot() {
        let SlotContent::Gone(reason) = decode_slot(&encode_gone(&"\"long\n".repeat(200))) else {
            panic!("not a last word")
        };
        assert!(reason.starts_with("\"long \"long ") && reason.len() > 100);
    }
}
