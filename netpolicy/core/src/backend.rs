//! The seam between the policy engine and the kernel.

use crate::diff::Batch;
use crate::ir::Snapshot;

/// Reads and changes the one table of this node. Calls block for a few milliseconds; at most one caller at a time gets
/// through.
pub trait RuleBackend: Send + Sync {
    /// What the kernel holds now (slow: a full dump; for start-up and repair).
    fn read(&self) -> Result<Snapshot, BackendError>;

    /// Applies all operations or none.
    fn apply(&self, batch: &Batch) -> Result<(), BackendError>;

    /// What this node's kernel cannot do, for `status`; empty when all is well.
    fn degraded(&self) -> Vec<String>;
}

/// What can go wrong with the kernel's rules.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The table belongs to another process.
    #[error("nftables table inet {table} is owned by another process (netlink port {owner})")]
    Foreign {
        /// Name of the table.
        table: String,
        /// Port id of the owner's netlink socket.
        owner: u32,
    },
    /// The batch itself is wrong (a value of the wrong type, a name that is too long): a bug of the compiler.
    #[error("{place}: {reason}")]
    Invalid {
        /// Chain or set.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The kernel refused the batch; nothing of it is in force.
    #[error("the kernel refused {operation}: {source}")]
    Refused {
        /// The operation that failed, as text.
        operation: String,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The netlink socket or the holder failed.
    #[error("{step}: {source}")]
    Io {
        /// What was being done.
        step: String,
        /// The cause.
        source: std::io::Error,
    },
}
