//! A layer's tar as a stream of entries, read as Go's archive/tar reads it: what other runtimes see is what we see.
//!
//! Not the tar crate's reader, because it splits PAX records at newlines, which binary values (file capabilities)
//! contain.

use std::io::{self, Read};

use rustix::fs::Timespec;
use tar::{EntryType, Header};

use super::pax::{self, Records, time};
use super::sparse::{self, InRecords, Sparse};

/// Long names and PAX records of one entry (as in Go).
const MAX_EXTENSION: u64 = 1 << 20;
const BLOCK: u64 = 512;

/// An entry without its content.
#[derive(Debug)]
pub(crate) struct Item {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: EntryType,
    pub size: u64,
    pub uid: u64,
    pub gid: u64,
    pub mode: u32,
    pub mtime: Timespec,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub device: (u32, u32),
    /// Where the content goes, in a file with holes.
    pub sparse: Option<Sparse>,
}

/// The entries.
pub(crate) struct Stream<R> {
    input: R,
    /// Bytes of the current entry's content, and of the padding behind it.
    content: u64,
    padding: u64,
}

impl<R: Read> Stream<R> {
    pub fn new(input: R) -> Self {
        Stream { input, content: 0, padding: 0 }
    }

    /// What is read from.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// The next entry; what is left of the content before is passed over.
    pub fn next(&mut self) -> io::Result<Option<Item>> {
        let (mut records, mut name, mut link) = (Vec::new(), None, None);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = field(&header.as_old().size, header.entry_size())?;
            match kind {
                EntryType::XHeader => {
                    records = pax::parse(&self.extension(size)?).ok_or_else(|| wrong("PAX record is malformed"))?
                }
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                EntryType::GNULongName => name = Some(until_zero(self.extension(size)?)),
                EntryType::GNULongLink => link = Some(until_zero(self.extension(size)?)),
                _ => {
                    let in_records = sparse::of_records(&records)?;
                    let mut item = item(&header, kind, size, name, link, records)?;
                    if kind == EntryType::GNUSparse {
                        item.sparse = Some(sparse::of_header(header.as_bytes(), &mut self.input)?);
                    }
                    self.set_size(item.size);
                    match in_records.filter(|_| item.kind == EntryType::Regular) {
                        Some(InRecords::Map(map)) => item.sparse = Some(map),
                        Some(InRecords::InContent { size }) => item.sparse = Some(sparse::of_content(size, self)?),
                        None => {}
                    }
                    return Ok(Some(item));
                }
            }
        }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(wrong("tar ends in the middle of a header")),
                n => filled += n,
            }
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum::<u32>() + 8 * 32
            - block[148..156].iter().map(|b| u32::from(*b)).sum::<u32>();
        if header.cksum()? != sum {
            return Err(wrong("tar header has a wrong checksum"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(wrong("tar extension header is too large"));
        }
        self.set_size(size);
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        Ok(data)
    }

    fn set_size(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn skip(&mut self) -> io::Result<()> {
        io::copy(&mut *self, &mut io::sink())?;
        let skipped = io::copy(&mut (&mut self.input).take(self.padding), &mut io::sink())?;
        let torn = skipped < self.padding;
        self.padding = 0;
        if torn { Err(wrong("tar ends in the middle of an entry")) } else { Ok(()) }
    }
}

/// The content of the current entry.
impl<R: Read> Read for Stream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(out.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.input.read(&mut out[..most])?;
        if n == 0 {
            return Err(wrong("tar ends in the middle of an entry"));
        }
        self.content -= n as u64;
        Ok(n)
    }
}

impl<R: Read + io::Seek> Stream<R> {
    /// Passes over the current entry without reading it.
    pub fn seek_over(&mut self) -> io::Result<()> {
        let over =
            i64::try_from(self.content.saturating_add(self.padding)).map_err(|_| wrong("tar entry is too large"))?;
        self.input.seek_relative(over)?;
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// The input.
    pub fn into_input(self) -> R {
        self.input
    }
}

fn item(
    header: &Header,
    kind: EntryType,
    size: u64,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
) -> io::Result<Item> {
    let device = (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
    let mut item = Item {
        path: name.unwrap_or_else(|| header.path_bytes().into_owned()),
        link: link.or_else(|| header.link_name_bytes().map(|l| l.into_owned())).unwrap_or_default(),
        kind,
        size,
        uid: field(&header.as_old().uid, header.uid())?,
        gid: field(&header.as_old().gid, header.gid())?,
        mode: field(&header.as_old().mode, header.mode().map(u64::from))? as u32 & 0o7777,
        mtime: Timespec {
            tv_sec: i64::try_from(field(&header.as_old().mtime, header.mtime())?).unwrap_or(0),
            tv_nsec: 0,
        },
        xattrs: Vec::new(),
        device: (device.0.unwrap_or(u32::MAX), device.1.unwrap_or(u32::MAX)),
        sparse: None,
    };
    let mut sparse_name = None;
    for (key, value) in records {
        let number = || {
            std::str::from_utf8(&value)
                .ok()
                .and_then(|v| v.parse::<u64>().ok())
                .ok_or_else(|| wrong("PAX number is none"))
        };
        match key.as_slice() {
            _ if value.is_empty() && !key.starts_with(b"SCHILY.xattr.") => {}
            b"path" => item.path = value,
            b"linkpath" => item.link = value,
            b"size" => item.size = number()?,
            b"uid" => item.uid = number()?,
            b"gid" => item.gid = number()?,
            b"mtime" => item.mtime = time(&value).ok_or_else(|| wrong("PAX time is none"))?,
            b"GNU.sparse.name" => sparse_name = Some(value),
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.".as_slice()) {
                    item.xattrs.push((name.to_vec(), value));
                }
            }
        }
    }
    item.path = sparse_name.unwrap_or(item.path);
    match kind {
        EntryType::GNUSparse => item.kind = EntryType::Regular,
        // Version 7 has no type for directories. Where the type is that of a file, a slash behind it means nothing.
        EntryType::Regular if header.as_bytes()[156] == 0 && item.path.ends_with(b"/") => {
            item.kind = EntryType::Directory;
        }
        _ => {}
    }
    if !matches!(item.kind, EntryType::Regular | EntryType::Continuous) {
        item.size = 0;
    }
    Ok(item)
}

/// A number that is not given is zero.
fn field(raw: &[u8], parsed: io::Result<u64>) -> io::Result<u64> {
    if raw.iter().all(|b| matches!(b, 0 | b' ')) { Ok(0) } else { parsed }
}

fn until_zero(mut data: Vec<u8>) -> Vec<u8> {
    let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    data.truncate(end);
    data
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    fn archive(records: &[u8], content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(records.len() as u64);
        header.set_cksum();
        builder.append(&header, records).unwrap();
        let mut header = Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_newline_in_an_attribute_neither_breaks_it_nor_smuggles_another_record() {
        let evil = [b"\n".as_slice(), &record_of("path", b"smuggled")].concat();
        let records = [record_of("SCHILY.xattr.user.x", &evil), record_of("path", b"long")].concat();
        let bytes = archive(&records, b"content");
        let mut stream = Stream::new(bytes.as_slice());
        let item = stream.next().unwrap().unwrap();
        assert_eq!(item.path, b"long");
        assert_eq!(item.xattrs, [(b"user.x".to_vec(), evil)]);
        let mut content = Vec::new();
        stream.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"content");
        assert!(stream.next().unwrap().is_none());
    }

    #[test]
    fn a_tar_that_ends_early_or_has_a_bad_header_is_an_error() {
        let bytes = archive(&record_of("mtime", b"1.5"), &[7; 2000]);
        let mut torn = Stream::new(&bytes[..2000]);
        assert!(torn.next().and_then(|_| torn.next()).is_err());
        let mut flipped = bytes.clone();
        flipped[1030] ^= 1;
        assert!(Stream::new(flipped.as_slice()).next().is_err());
        assert!(Stream::new(archive(b"99 path=x\n", b"").as_slice()).next().is_err());
    }
}
