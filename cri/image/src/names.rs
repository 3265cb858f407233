//! References and digests.

use oci_spec::distribution::Reference;
use sha2::{Digest, Sha256, Sha384, Sha512};

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

/// The digest of bytes by the algorithm that another digest has; sha256 if that one is not known.
pub(crate) fn digest_like(other: &str, bytes: &[u8]) -> String {
    let mut hash = Hash::like(Some(other));
    hash.update(bytes);
    hash.digest()
}

/// Whether the algorithm is known by which a digest was made.
pub(crate) fn is_known(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(name, _)| ALGORITHMS.iter().any(|(known, _)| *known == name))
}

/// The algorithms that images use, and how many hex digits their digests have.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// A hash by any of the algorithms.
pub(crate) enum Hash {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hash {
    /// By the algorithm of a digest.
    pub fn like(digest: Option<&str>) -> Self {
        match digest.and_then(|digest| digest.split_once(':')) {
            Some(("sha384", _)) => Hash::Sha384(Sha384::new()),
            Some(("sha512", _)) => Hash::Sha512(Sha512::new()),
            _ => Hash::Sha256(Sha256::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha384(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
        }
    }

    pub fn digest(self) -> String {
        match self {
            Hash::Sha256(hash) => digest_of(hash),
            Hash::Sha384(hash) => format!("sha384:{}", hex(&hash.finalize())),
            Hash::Sha512(hash) => format!("sha512:{}", hex(&hash.finalize())),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The hex part of a digest; it becomes a file name, so nothing else passes.
pub(crate) fn hex_of(digest: &str) -> Result<&str, ImageError> {
    let (name, hex) = digest.split_once(':').unwrap_or_default();
    let known = ALGORITHMS.iter().any(|(known, digits)| *known == name && *digits == hex.len());
    if known && is_hex(hex) {
        return Ok(hex);
    }
    Err(ImageError::Invalid(format!("digest {digest:?} is neither sha256, sha384 nor sha512 with all its hex digits")))
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
        assert!(parse(&format!("r.example/a@sha512:{}", "0".repeat(64))).is_err());
    }

    #[test]
    fn digests_of_every_algorithm_are_names_and_are_made_alike() {
        for digits in [64, 96, 128] {
            let digest = format!("sha{}:{}", digits * 4, "0".repeat(digits));
            assert_eq!(hex_of(&digest).unwrap().len(), digits);
            assert!(parse(&format!("r.example/a@{digest}")).is_ok(), "{digest}");
            let made = digest_like(&digest, b"x");
            assert!(made.len() == digest.len() && made[..7] == digest[..7] && is_known(&made), "{made}");
        }
        assert!(!is_known("blake3:00"));
    }
}
