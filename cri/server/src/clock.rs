//! Times as CRI has them: nanoseconds since the epoch.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day.
pub(crate) fn now() -> i64 {
    nanos(SystemTime::now())
}

/// A time; one before the epoch is 0.
pub(crate) fn nanos(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}
