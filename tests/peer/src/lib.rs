//! The same CRI requests to Cofferdam and to containerd, and what is different in what comes of them.
//!
//! [`Pair`] starts both runtimes, each on a host of its own. A case is a function that does something to one [`Side`]
//! and returns what it saw as JSON; it runs on both sides at once. [`differences`] compares the two, after
//! [`normalise`] replaced what differs from run to run, and [`Listed`] holds the result against a list with a verdict
//! for each.

mod cgroup;
mod check;
mod codec;
mod compare;
mod cri;
pub mod images;
mod listed;
mod normalise;
mod pair;
mod pods;
pub mod registry;
mod side;
mod table;

pub use cgroup::cgroup_values;
pub use check::{Family, Seen, run_family, wanted};
pub use compare::{Difference, differences};
pub use cri::{Answer, Client, Failure, describe};
pub use listed::{Listed, Verdict};
pub use normalise::{Known, normalise};
pub use pair::Pair;
pub use pods::{Ended, Running, config_of, container, pod};
pub use side::{Side, Who};
