//! Names and MAC addresses of a pod's link: hashes of the sandbox's id. Pure.

use sha2::{Digest as _, Sha256};

/// Longest interface name in bytes (IFNAMSIZ without its NUL).
pub const MAX_NAME: usize = 15;
/// Longest prefix that leaves enough of the hash.
pub const MAX_PREFIX: usize = 6;

/// Name of the host's end: the prefix and as much of the hash as fits.
pub fn interface(prefix: &str, sandbox: &str) -> String {
    let hash: String = Sha256::digest(sandbox.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{}", &hash[..MAX_NAME - prefix.len().min(MAX_PREFIX)])
}

/// A locally administered unicast MAC address; `end` tells the pod's from the gateway's.
pub fn mac(sandbox: &str, end: &str) -> [u8; 6] {
    let hash = Sha256::digest(format!("{end}/{sandbox}").as_bytes());
    [0x02 | (hash[0] & 0xfc), hash[1], hash[2], hash[3], hash[4], hash[5]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_differ() {
        let (a, b) = (interface("cfd", "a"), interface("cfd", "b"));
        assert!(a.starts_with("cfd") && a.len() == 15 && a != b);
        assert_eq!(interface("cfd", "a"), a);
    }

    #[test]
    fn macs_are_unicast_and_local() {
        assert_eq!(mac("x", "pod")[0] & 3, 2);
        assert_ne!(mac("x", "pod"), mac("x", "gateway"));
    }
}
