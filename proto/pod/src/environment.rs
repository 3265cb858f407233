//! Environment variables whose bytes are no text. OCI's are strings, the kernel's and CRI's are bytes.

use std::fmt::Write as _;

/// Cannot stand in a variable, so it can tell that the rest is written in hexadecimal digits.
const MARK: char = '\0';

/// A variable (`NAME=value`) as a string of an OCI process.
pub fn pack_variable(variable: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(variable) {
        return text.to_owned();
    }
    variable.iter().fold(String::from(MARK), |mut packed, byte| {
        // Writing to a string does not fail.
        let _ = write!(packed, "{byte:02x}");
        packed
    })
}

/// Undoes [`pack_variable`]. `None`: it was not packed so, or holds a NUL.
pub fn unpack_variable(packed: &str) -> Option<Vec<u8>> {
    let Some(digits) = packed.strip_prefix(MARK) else {
        return (!packed.contains(MARK)).then(|| packed.as_bytes().to_vec());
    };
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|byte| *byte != 0);
    let even = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if even { pairs.map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_through_and_text_stays_text() {
        for variable in [&b"A=b"[..], b"A=\xff\xfe", b"\xff=", "A=ä".as_bytes(), b""] {
            assert_eq!(unpack_variable(&pack_variable(variable)).as_deref(), Some(variable));
        }
        assert_eq!(pack_variable(b"A=b"), "A=b");
    }

    #[test]
    fn what_is_not_packed_is_told() {
        for bad in ["A=\0", "\0abc", "\0zz", "\0+1", "\x004100"] {
            assert_eq!(unpack_variable(bad), None, "{bad:?}");
        }
    }
}
