//! Sparse files in the four forms of GNU tar, as Go's archive/tar reads them.

use std::io::{self, Read};

use super::pax::Records;

/// No list of segments has more bytes (as in Go).
const MAX_MAP: usize = 1 << 20;
const BLOCK: usize = 512;

/// A file with holes: its content is that of the segments, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// With all holes.
    pub size: u64,
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub at: u64,
    pub length: u64,
}

/// What the PAX records of an entry say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InRecords {
    /// Formats 0.0 and 0.1.
    Map(Sparse),
    /// Format 1.0: the map is at the beginning of the content.
    InContent { size: u64 },
}

/// Reads the records; none if they are of no format that is known, as in Go.
pub(crate) fn of_records(records: &Records) -> io::Result<Option<InRecords>> {
    let get = |key: &str| records.iter().rev().find(|(k, _)| k == key.as_bytes()).map(|(_, v)| v.as_slice());
    let size = get("GNU.sparse.realsize").or(get("GNU.sparse.size")).map(number).transpose()?;
    match (get("GNU.sparse.major"), get("GNU.sparse.minor")) {
        (Some(b"1"), Some(b"0")) => Ok(Some(InRecords::InContent { size: size.ok_or_else(wrong)? })),
        (None | Some(b"0"), None | Some(b"0" | b"1")) => {
            let numbers: Vec<u64> = match get("GNU.sparse.map") {
                Some(map) => map.split(|b| *b == b',').map(number).collect::<io::Result<_>>()?,
                None => {
                    let parts = [b"GNU.sparse.offset".as_slice(), b"GNU.sparse.numbytes"];
                    records
                        .iter()
                        .filter(|(k, _)| parts.contains(&k.as_slice()))
                        .map(|(_, v)| number(v))
                        .collect::<io::Result<_>>()?
                }
            };
            match (size, numbers.is_empty()) {
                (None, true) => Ok(None),
                (size, _) => checked(size.ok_or_else(wrong)?, &numbers).map(|sparse| Some(InRecords::Map(sparse))),
            }
        }
        _ => Ok(None),
    }
}

/// Reads the map at the beginning of a content: decimal numbers, each in a line, in whole blocks.
pub(crate) fn of_content(size: u64, content: &mut impl Read) -> io::Result<Sparse> {
    let (mut text, mut block) = (Vec::new(), [0; BLOCK]);
    let mut wanted = None;
    loop {
        content.read_exact(&mut block)?;
        text.extend_from_slice(&block);
        if text.len() > MAX_MAP {
            return Err(wrong());
        }
        let lines = text.iter().filter(|b| **b == b'\n').count();
        if wanted.is_none() && lines > 0 {
            let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
            wanted = Some(usize::try_from(number(first)?).ok().and_then(|n| n.checked_mul(2)).ok_or_else(wrong)?);
        }
        if let Some(wanted) = wanted.filter(|wanted| lines > *wanted) {
            let numbers =
                text.split(|b| *b == b'\n').skip(1).take(wanted).map(number).collect::<io::Result<Vec<_>>>()?;
            return checked(size, &numbers);
        }
    }
}

/// The old form: four segments in the header, more in blocks behind it.
pub(crate) fn of_header(header: &[u8; 512], input: &mut impl Read) -> io::Result<Sparse> {
    let size = field(&header[483..495])?;
    let mut numbers = Vec::new();
    pairs(&header[386..482], &mut numbers)?;
    let (mut more, mut block) = (header[482], [0; BLOCK]);
    while more != 0 {
        input.read_exact(&mut block)?;
        pairs(&block[..504], &mut numbers)?;
        more = block[504];
        if numbers.len() * 12 > MAX_MAP {
            return Err(wrong());
        }
    }
    checked(size, &numbers)
}

fn pairs(bytes: &[u8], numbers: &mut Vec<u64>) -> io::Result<()> {
    for pair in bytes.chunks_exact(24).take_while(|pair| pair[0] != 0) {
        numbers.extend([field(&pair[..12])?, field(&pair[12..])?]);
    }
    Ok(())
}

/// In order, apart, and within the file.
fn checked(size: u64, numbers: &[u64]) -> io::Result<Sparse> {
    let mut end = 0;
    let mut segments = Vec::new();
    if !numbers.len().is_multiple_of(2) {
        return Err(wrong());
    }
    for pair in numbers.chunks_exact(2) {
        let segment = Segment { at: pair[0], length: pair[1] };
        let next = segment.at.checked_add(segment.length).filter(|next| *next <= size).ok_or_else(wrong)?;
        if segment.at < end {
            return Err(wrong());
        }
        end = next;
        segments.push(segment);
    }
    Ok(Sparse { size, segments })
}

/// Octal, or base 256 where the first bit says so.
fn field(bytes: &[u8]) -> io::Result<u64> {
    if bytes[0] & 0x80 != 0 {
        let number = bytes
            .iter()
            .skip(1)
            .fold(u128::from(bytes[0] & 0x7f), |n, b| ((n << 8) | u128::from(*b)) & ((1 << 100) - 1));
        return u64::try_from(number).map_err(|_| wrong());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?.trim_matches([' ', '\0']);
    if text.is_empty() { Ok(0) } else { u64::from_str_radix(text, 8).map_err(|_| wrong()) }
}

fn number(text: &[u8]) -> io::Result<u64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the map of a sparse file is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(list: &[(&str, &str)]) -> Records {
        list.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    fn two() -> Sparse {
        Sparse { size: 100, segments: vec![Segment { at: 2, length: 3 }, Segment { at: 50, length: 50 }] }
    }

    #[test]
    fn every_form_gives_the_same_map() {
        let zero = [("GNU.sparse.size", "100"), ("GNU.sparse.offset", "2"), ("GNU.sparse.numbytes", "3")];
        let zero = [&zero[..], &[("GNU.sparse.offset", "50"), ("GNU.sparse.numbytes", "50")]].concat();
        let one = [
            ("GNU.sparse.major", "0"),
            ("GNU.sparse.minor", "1"),
            ("GNU.sparse.size", "100"),
            ("GNU.sparse.map", "2,3,50,50"),
        ];
        for list in [&zero[..], &one] {
            assert_eq!(of_records(&records(list)).unwrap(), Some(InRecords::Map(two())));
        }
        let one = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "100")];
        assert_eq!(of_records(&records(&one)).unwrap(), Some(InRecords::InContent { size: 100 }));
        let mut map = b"2\n2\n3\n50\n50\n".to_vec();
        map.resize(512, 0);
        assert_eq!(of_content(100, &mut [map.as_slice(), b"data"].concat().as_slice()).unwrap(), two());
        let mut header = [0; 512];
        for (at, text) in [(386, "00000000002"), (398, "00000000003"), (483, "00000000144")] {
            header[at..at + 11].copy_from_slice(text.as_bytes());
        }
        header[482] = 1;
        let mut more = vec![0; 512];
        for (at, text) in [(0, "00000000062"), (12, "00000000062")] {
            more[at..at + 11].copy_from_slice(text.as_bytes());
        }
        assert_eq!(of_header(&header, &mut more.as_slice()).unwrap(), two());
    }

    #[test]
    fn a_map_that_lies_is_malformed() {
        for map in ["5,1,0,1", "0,101", "1", "99999999999999999999,1", "18446744073709551615,2", "x,1"] {
            assert!(of_records(&records(&[("GNU.sparse.map", map), ("GNU.sparse.size", "100")])).is_err(), "{map}");
        }
        assert!(of_content(9, &mut b"99999999999999999999\n".as_slice()).is_err());
        assert_eq!(of_records(&Records::new()).unwrap(), None);
    }
}
