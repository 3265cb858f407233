//! Durable exit records: a file of fixed slots, whose space is reserved before a container may start, so that a full disk
//! loses no exit. The shim writes it, the daemon reads it when the shim is dead.
//!
//! Each slot is one line of JSON, padded with blanks and ended by a newline; a slot that does not parse is empty. Slot 0 is the
//! shim's last word: why the sandbox died.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofferdam_sandbox::ContainerExit;
use serde_json::{Value, json};

/// Bytes of a slot. Divides the page, so a slot is written as a whole or not.
pub const SLOT: usize = 256;

/// One exit.
pub type ExitRecord = ContainerExit;

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotContent {
    /// Nothing, or a write that was cut off.
    Empty,
    /// An exit.
    Exit(ContainerExit),
    /// Why the sandbox died.
    Gone(String),
}

/// Nanoseconds since the epoch; times before it count as it.
pub(crate) fn nanos(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The time so many nanoseconds after the epoch.
pub(crate) fn time(nanos: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// An exit as a slot.
pub fn encode_exit(exit: &ContainerExit) -> [u8; SLOT] {
    pad(&json!({"container": exit.container, "code": exit.code, "oom": exit.oom, "at": nanos(exit.at)}).to_string())
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
    match (value["container"].as_str(), value["code"].as_i64(), value["oom"].as_bool(), value["at"].as_i64()) {
        (Some(container), Some(code), Some(oom), Some(at)) => SlotContent::Exit(ContainerExit {
            container: container.to_owned(),
            code: i32::try_from(code).unwrap_or(255),
            oom,
            at: time(at),
        }),
        _ => SlotContent::Empty,
    }
}

/// All that a file of slots holds: the exits, and the last word.
pub fn read_slots(file: &[u8]) -> (Vec<ContainerExit>, Option<String>) {
    let mut exits = Vec::new();
    let mut gone = None;
    for slot in file.chunks(SLOT) {
        match decode_slot(slot) {
            SlotContent::Exit(exit) => exits.push(exit),
            SlotContent::Gone(reason) => gone = Some(reason),
            SlotContent::Empty => {}
        }
    }
    (exits, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit() -> ContainerExit {
        ContainerExit { container: "a".repeat(64), code: -1, oom: true, at: time(1_700_000_000_123_456_789) }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode_slot(&encode_exit(&exit())), SlotContent::Exit(exit()));
        assert_eq!(decode_slot(&encode_gone("QEMU died")), SlotContent::Gone("QEMU died".into()));
    }

    #[test]
    fn empty_and_torn_slots_are_passed_over() {
        let mut file = vec![0; SLOT];
        file.extend(encode_exit(&exit()));
        let mut torn = encode_exit(&exit());
        torn[100..].fill(0);
        file.extend(torn);
        assert_eq!(read_slots(&file), (vec![exit()], None));
    }

    #[test]
    fn a_long_last_word_is_cut_to_its_slot() {
        let SlotContent::Gone(reason) = decode_slot(&encode_gone(&"\"long\n".repeat(200))) else { panic!("not a last word") };
        assert!(reason.starts_with("\"long \"long ") && reason.len() > 100);
    }
}
