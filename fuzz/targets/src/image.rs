//! What a registry sends, and the file that says where one is.

use cofferdam_image::fuzzing::{self, Limits};

/// More than this no input unpacks to.
const BYTES: u64 = 4 << 20;

/// A layer: compressed or not, a tar with PAX records, long names and odd types. A second time with the headers'
/// checksums put right, since a change of a header is otherwise seen by its checksum alone.
pub fn layer(input: &[u8]) {
    read_layer(input);
    read_layer(&with_checksums(input));
}

fn read_layer(input: &[u8]) {
    let content = fuzzing::layer(input, &Limits { bytes: BYTES, inodes: 10_000 });
    assert!(content.bytes <= BYTES, "{content:?}");
    assert!(content.entries <= BYTES / 512, "each entry has a header: {content:?}");
}

/// Every block that says of itself that it is a tar header gets the checksum that fits it.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if let Some(header) = block.first_chunk_mut::<512>()
            && header[257..262] == *b"ustar"
        {
            let mut fitting = tar::Header::new_old();
            fitting.as_mut_bytes().copy_from_slice(header);
            fitting.set_cksum();
            header.copy_from_slice(fitting.as_bytes());
        }
    }
    bytes
}

/// A manifest or an index.
pub fn manifest(input: &[u8]) {
    fuzzing::manifest(input);
}

/// An image's config; the first byte is the number of layers.
pub fn config(input: &[u8]) {
    if let Some((layers, bytes)) = input.split_first() {
        fuzzing::config(bytes, usize::from(*layers));
    }
}

/// A `hosts.toml`.
pub fn hosts(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for base in fuzzing::hosts(text, "registry.example:5000").unwrap_or_default() {
        assert!(base.starts_with("http://") || base.starts_with("https://"), "{base:?}");
    }
}
