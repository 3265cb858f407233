//! Locks of state that no panic leaves half-changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, whoever panicked with it: all changes under these locks are single inserts and removes.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
