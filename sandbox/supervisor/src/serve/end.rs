//! How the event loop ends.

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A requester said stop, and it was done.
    Stopped,
    /// The sandbox is dead: the reason, already announced.
    Gone(String),
    /// The loop itself cannot go on.
    Failed(String),
}
