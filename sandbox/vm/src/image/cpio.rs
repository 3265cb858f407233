//! Writes an initramfs: a cpio archive in the format "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst). Owner 0, time 0 and numbered inodes, so that the same
//! input gives the same bytes.

/// An archive that grows in memory.
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Default for Archive {
    fn default() -> Self {
        Archive { bytes: Vec::new(), inode: 1 }
    }
}

impl Archive {
    /// A directory; parents come first.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[], (0, 0));
    }

    /// A regular file with its permissions.
    pub fn file(&mut self, name: &str, permissions: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | permissions, content, (0, 0));
    }

    /// A character device.
    pub fn character_device(&mut self, name: &str, permissions: u32, major: u32, minor: u32) {
        self.entry(name, 0o020_000 | permissions, &[], (major, minor));
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, &[], (0, 0));
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8], (major, minor): (u32, u32)) {
        let (inode, size, name_size) = (self.inode, content.len() as u32, name.len() as u32 + 1);
        self.inode += 1;
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_the_trailer_is_last() {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.file("init", 0o755, b"12345");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let starts: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        assert!(text[starts[1]..].starts_with("07070100000002000081ed"), "{text}");
        assert!(text[starts[2]..].contains("TRAILER!!!"));
    }
}
