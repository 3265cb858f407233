//! The ELF kernel inside a bzImage: QEMU enters it by PVH, so that neither firmware nor the kernel's own decompressor
//! runs.
//!
//! Layout: Documentation/arch/x86/boot.rst (`setup_sects`, `payload_offset`, `payload_length`).

use std::io::Read;

/// Why a kernel cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BzImageError {
    /// Not a bzImage.
    #[error("not a bzImage: {0}")]
    Format(&'static str),
    /// Compressed by something unknown here.
    #[error("the kernel's compression is not supported (payload starts with {0:02x?}); lz4, zstd and gzip are")]
    Compression([u8; 4]),
    /// The payload is damaged.
    #[error("the kernel's payload cannot be decompressed: {0}")]
    Payload(String),
}

/// More than any kernel has, bytes: a damaged header must not take all memory.
const MAX_KERNEL: usize = 512 << 20;
/// Blocks of the legacy lz4 format, bytes.
const LZ4_BLOCK: usize = 8 << 20;

fn word(image: &[u8], at: usize) -> Result<usize, BzImageError> {
    let bytes = image.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
    bytes.map(|bytes| u32::from_le_bytes(*bytes) as usize).ok_or(BzImageError::Format("it is cut off"))
}

fn payload(image: &[u8]) -> Result<&[u8], BzImageError> {
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err(BzImageError::Format("no setup header"));
    }
    let setup = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup + 1) * 512 + word(image, 0x248)?;
    let length = word(image, 0x24c)?;
    image.get(start..start + length).ok_or(BzImageError::Format("its payload is cut off"))
}

/// The ELF kernel (`vmlinux`) of a bzImage.
pub fn extract_elf(image: &[u8]) -> Result<Vec<u8>, BzImageError> {
    let payload = payload(image)?;
    // The length of the kernel follows the compressed data: the kernel's own decompressor needs it.
    let size = payload.len().checked_sub(4).ok_or(BzImageError::Format("no payload"))?;
    let expected = word(payload, size)?;
    if expected > MAX_KERNEL {
        return Err(BzImageError::Format("its kernel is over 512 MiB"));
    }
    let failed = |error: &dyn std::fmt::Display| BzImageError::Payload(error.to_string());
    let mut elf = Vec::with_capacity(expected);
    match payload.first_chunk::<4>().copied().unwrap_or_default() {
        [0x02, 0x21, 0x4c, 0x18] => lz4_legacy(&payload[4..size], &mut elf)?,
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let reader = zstd::Decoder::new(&payload[..size]).map_err(|error| failed(&error))?;
            reader.take(MAX_KERNEL as u64).read_to_end(&mut elf).map_err(|error| failed(&error))?;
        }
        [0x1f, 0x8b, ..] => {
            let reader = flate2::read::GzDecoder::new(payload);
            reader.take(MAX_KERNEL as u64).read_to_end(&mut elf).map_err(|error| failed(&error))?;
        }
        other => return Err(BzImageError::Compression(other)),
    }
    if elf.len() != expected {
        return Err(BzImageError::Payload(format!("{} bytes came out, the header promises {expected}", elf.len())));
    }
    match elf.starts_with(b"\x7fELF") {
        true => Ok(elf),
        false => Err(BzImageError::Payload("what came out is no ELF file".into())),
    }
}

// The kernel uses lz4's legacy frame: a magic, then blocks of at most 8 MiB, each behind its compressed length.
fn lz4_legacy(mut rest: &[u8], out: &mut Vec<u8>) -> Result<(), BzImageError> {
    while !rest.is_empty() {
        let length = word(rest, 0)?;
        let block = rest.get(4..4 + length).ok_or_else(|| BzImageError::Payload("an lz4 block is cut off".into()))?;
        let plain =
            lz4_flex::block::decompress(block, LZ4_BLOCK).map_err(|error| BzImageError::Payload(error.to_string()))?;
        out.extend_from_slice(&plain);
        if out.len() > MAX_KERNEL {
            return Err(BzImageError::Payload("over 512 MiB".into()));
        }
        rest = &rest[4 + length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn kernel() -> Vec<u8> {
        [b"\x7fELF".as_slice(), &[7; 5000]].concat()
    }

    fn image(compressed: &[u8], size: u32) -> Vec<u8> {
        let mut image = vec![0u8; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(compressed.len() as u32 + 4).to_le_bytes());
        image.extend([0; 16]);
        image.extend(compressed);
        image.extend(size.to_le_bytes());
        image.extend(b"trailer");
        image
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// lz4 of literals only.
    fn lz4(plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0x02, 0x21, 0x4c, 0x18];
        for chunk in plain.chunks(1251) {
            let mut block = vec![0xf0];
            let mut rest = chunk.len() - 15;
            while rest >= 255 {
                block.push(255);
                rest -= 255;
            }
            block.push(rest as u8);
            block.extend(chunk);
            out.extend((block.len() as u32).to_le_bytes());
            out.extend(block);
        }
        out
    }

    #[test]
    fn the_kernel_comes_out_of_every_supported_compression() {
        let plain = kernel();
        let size = plain.len() as u32;
        assert_eq!(extract_elf(&image(&gzip(&plain), size)).unwrap(), plain);
        assert_eq!(extract_elf(&image(&zstd::encode_all(&plain[..], 1).unwrap(), size)).unwrap(), plain);
        assert_eq!(extract_elf(&image(&lz4(&plain), size)).unwrap(), plain);
    }

    #[test]
    fn what_is_no_kernel_is_refused_with_the_reason() {
        let plain = kernel();
        assert!(matches!(extract_elf(b"short"), Err(BzImageError::Format(_))));
        assert_eq!(extract_elf(&image(b"\xfd7zXZ", 5)), Err(BzImageError::Compression(*b"\xfd7zX")));
        assert!(matches!(extract_elf(&image(&gzip(&plain), 17)), Err(BzImageError::Payload(_))));
        let mut cut = image(&lz4(&plain), plain.len() as u32);
        cut.truncate(2000);
        assert_eq!(extract_elf(&cut), Err(BzImageError::Format("its payload is cut off")));
    }
}
