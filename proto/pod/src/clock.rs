//! Points in time as they are sent and stored: nanoseconds since the epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch; 0 for a time before it.
pub(crate) fn nanos(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The time so many nanoseconds after the epoch.
pub(crate) fn time(nanos: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
