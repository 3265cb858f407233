//! References and digests.

use oci_spec::distribution::Reference;
use sha2::{Digest, Sha256};

use crate::ImageError;

/// A reference in its full form: registry, repository, tag or digest (`busybox` is `docker.io/library/busybox:latest`).
pub(crate) fn parse(reference: &str) -> Result<Reference, ImageError> {
    let bad = |e: &dyn std::fmt::Display| ImageError::Invalid(format!("image reference {reference:?}: {e}"));
    let parsed = reference.parse::<Reference>().map_err(|e| bad(&e))?;
    if let Some(digest) = parsed.digest() {
        hex_of(digest).map_err(|e| bad(&e))?;
    }
    Ok(parsed)
}

/// `REPOSITORY@DIGEST`.
pub(crate) fn repo_digest(reference: &Reference, digest: &str) -> String {
    format!("{}/{}@{digest}", reference.registry(), reference.repository())
}

/// `REPOSITORY:TAG`, for references that have a tag and no digest.
pub(crate) fn repo_tag(reference: &Reference) -> Option<String> {
    match (reference.tag(), reference.digest()) {
        (Some(tag), None) => Some(format!("{}/{}:{tag}", reference.registry(), reference.repository())),
        _ => None,
    }
}

/// The digest of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest_of(Sha256::new_with_prefix(bytes))
}

/// The digest of what was hashed.
pub(crate) fn digest_of(hash: Sha256) -> String {
    format!("sha256:{}", hex(&hash.finalize()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The hex part of a sha256 digest; it becomes a file name, so nothing else passes.
pub(crate) fn hex_of(digest: &str) -> Result<&str, ImageError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if is_hex(hex) && hex.len() == 64 {
        return Ok(hex);
    }
    Err(ImageError::Invalid(format!("digest {digest:?} is not sha256 and 64 hex digits")))
}

/// Only lower-case hex digits.
pub(crate) fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_get_the_default_registry_and_tag() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("127.0.0.1:5000/test/web:1", "127.0.0.1:5000/test/web:1"),
        ] {
            assert_eq!(repo_tag(&parse(short).unwrap()).unwrap(), full);
        }
    }

    #[test]
    fn a_reference_by_digest_has_no_tag() {
        let digest = sha256(b"x");
        let reference = parse(&format!("r.example/a:1@{digest}")).unwrap();
        assert_eq!(repo_tag(&reference), None);
        assert_eq!(repo_digest(&reference, &digest), format!("r.example/a@{digest}"));
    }

    #[test]
    fn a_digest_that_is_no_digest_never_becomes_a_path() {
        for bad in ["sha256:../x", "sha512:00", "", "sha256:ABC"] {
            assert!(hex_of(bad).is_err(), "{bad}");
        }
        assert!(parse("UPPER/../x").is_err());
        assert!(parse(&format!("r.example/a@sha512:{}", "0".repeat(128))).is_err());
    }
}
