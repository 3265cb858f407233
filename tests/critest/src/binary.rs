//! critest pulls one image by the digest that it has upstream. Ours has another, so a copy of the program asks for
//! that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The repository and digest in critest 1.37.
const UPSTREAM: &str = "test-image-digest@sha256:9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf";

/// Writes a copy of critest to `to` in which the image has the digest `digest`.
pub fn with_digest(critest: &Path, digest: &str, to: &Path) -> Result<()> {
    let (repository, upstream) = UPSTREAM.split_once('@').context("no digest")?;
    ensure!(digest.len() == upstream.len(), "{digest} is not as long as {upstream}");
    let mut program = fs::read(critest).with_context(|| critest.display().to_string())?;
    let count = replace(&mut program, UPSTREAM.as_bytes(), format!("{repository}@{digest}").as_bytes());
    ensure!(count > 0, "{} does not contain {UPSTREAM}", critest.display());
    fs::write(to, program)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Replaces bytes by as many others, wherever they are; how often.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let mut count = 0;
    let mut at = 0;
    while let Some(next) = bytes[at..].windows(from.len()).position(|window| window == from) {
        at += next;
        bytes[at..at + to.len()].copy_from_slice(to);
        at += from.len();
        count += 1;
    }
    count
}

/// The digest under which the storage of a registry has the tag `latest` of a repository.
pub fn stored_digest(storage: &Path, repository: &str) -> Result<String> {
    let link: PathBuf =
        storage.join(format!("docker/registry/v2/repositories/{repository}/_manifests/tags/latest/current/link"));
    fs::read_to_string(&link).with_context(|| link.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_is_replaced_and_nothing_else() {
        let mut bytes = b"abc-abc-ab".to_vec();
        assert_eq!(replace(&mut bytes, b"abc", b"xyz"), 2);
        assert_eq!(bytes, b"xyz-xyz-ab");
        assert_eq!(replace(&mut bytes, b"abc", b"xyz"), 0);
    }
}
