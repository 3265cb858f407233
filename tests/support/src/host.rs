//! A host network namespace for one daemon, with the rest of the world in a second one.
//!
//! ```text
//!   host                                     outside
//!     uplink 192.0.2.2, 2001:db8:2::2 --veth-- peer 192.0.2.1, 2001:db8:2::1
//!     lo                                       lo 198.51.100.10, 2001:db8:100::10
//! ```
//! The host's default routes lead outside. Outside has no route to any pod, as in the real world.

use std::path::Path;

use anyhow::Result;

use crate::netns::Netns;

/// The host's address towards outside.
pub const UPLINK_V4: &str = "192.0.2.2";
/// The same for IPv6.
pub const UPLINK_V6: &str = "2001:db8:2::2";
/// An address outside the cluster that answers.
pub const OUTSIDE_V4: &str = "198.51.100.10";
/// The same for IPv6.
pub const OUTSIDE_V6: &str = "2001:db8:100::10";

/// The host of a daemon, and outside.
#[derive(Debug)]
pub struct Host {
    /// Where the daemon, its registry and its pods' host ends are.
    pub host: Netns,
    /// The rest of the world.
    pub outside: Netns,
}

impl Host {
    /// Both namespaces, held by files in `dir`.
    pub fn create(dir: &Path) -> Result<Self> {
        let host = Netns::create(&dir.join("host"))?;
        let outside = Netns::create(&dir.join("outside"))?;
        host.ip("link add uplink type veth peer name peer")?;
        host.ip(&format!("link set peer netns {}", outside.path().display()))?;
        for (netns, link, addresses) in [
            (&host, "uplink", ["192.0.2.2/24", "2001:db8:2::2/64"]),
            (&outside, "peer", ["192.0.2.1/24", "2001:db8:2::1/64"]),
            (&outside, "lo", ["198.51.100.10/32", "2001:db8:100::10/128"]),
        ] {
            netns.ip(&format!("address add {} dev {link}", addresses[0]))?;
            netns.ip(&format!("address add {} dev {link} nodad", addresses[1]))?;
            netns.ip(&format!("link set {link} up"))?;
        }
        host.ip("route add default via 192.0.2.1")?;
        host.ip("-6 route add default via 2001:db8:2::1")?;
        Ok(Self { host, outside })
    }
}
