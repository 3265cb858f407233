//! Operations that outlive their RPC.
//!
//! An operation runs in a task of its own, and its key says what it does to what. A client that gives up does not stop
//! it, and one that asks for the same again joins it. What it leaves behind (an id, a state) is found in the store by
//! later retries.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::error::Error;

type Outcome<T> = Result<T, Error>;
type Running<K, T> = HashMap<K, Shared<BoxFuture<'static, Outcome<T>>>>;

/// The operations under way, by key.
pub(crate) struct Operations<K, T> {
    running: Arc<Mutex<Running<K, T>>>,
}

impl<K, T> Default for Operations<K, T> {
    fn default() -> Self {
        Operations { running: Arc::default() }
    }
}

impl<K, T> Operations<K, T>
where
    K: Clone + Debug + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the operation under `key`, or begins it with `start`.
    pub async fn run<F, Fut>(&self, key: K, start: F) -> Outcome<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Outcome<T>> + Send + 'static,
    {
        let shared = {
            let mut running = lock(&self.running);
            match running.get(&key) {
                Some(shared) => shared.clone(),
                None => {
                    let shared = self.spawn(key.clone(), start()).boxed().shared();
                    running.insert(key, shared.clone());
                    shared
                }
            }
        };
        shared.await
    }

    /// Waits for the end of the operation under `key`, if there is one.
    pub async fn wait(&self, key: &K) {
        let running = lock(&self.running).get(key).cloned();
        if let Some(running) = running {
            // Its own caller is told.
            let _ = running.await;
        }
    }

    fn spawn(
        &self,
        key: K,
        operation: impl Future<Output = Outcome<T>> + Send + 'static,
    ) -> impl Future<Output = Outcome<T>> + Send + 'static {
        let task = tokio::spawn({
            let running = self.running.clone();
            let key = key.clone();
            async move {
                let outcome = std::panic::AssertUnwindSafe(operation).catch_unwind().await;
                lock(&running).remove(&key);
                outcome
            }
        });
        async move {
            match task.await {
                Ok(Ok(outcome)) => outcome,
                _ => Err(Error::Internal(format!("operation {key:?} panicked"))),
            }
        }
    }
}

fn lock<K, T>(running: &Mutex<Running<K, T>>) -> MutexGuard<'_, Running<K, T>> {
    // The map is never left half-changed, so a poisoned lock is as good as a healthy one.
    running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn equal_keys_share_one_run() {
        let (ops, runs) = (Operations::default(), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(tokio::sync::Notify::new());
        let one = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            ops.run("a", move || async move {
                gate.notified().await;
                Ok(runs.fetch_add(1, Ordering::SeqCst))
            })
        };
        let (a, b, ()) = tokio::join!(one(), one(), async { gate.notify_one() });
        assert_eq!((a.unwrap(), b.unwrap()), (0, 0));
        gate.notify_one();
        assert_eq!(one().await.unwrap(), 1, "a finished run is not joined");
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_stop_the_run() {
        let (ops, done) = (Operations::default(), Arc::new(tokio::sync::Notify::new()));
        let gate = Arc::new(tokio::sync::Notify::new());
        let run = ops.run("a", {
            let (done, gate) = (done.clone(), gate.clone());
            move || async move {
                gate.notified().await;
                done.notify_one();
                Ok(())
            }
        });
        assert!(run.now_or_never().is_none());
        gate.notify_one();
        done.notified().await;
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_the_key() {
        let ops = Operations::default();
        let result = ops.run("a", || async { panic!("boom") }).await;
        assert!(matches!(result, Err(Error::Internal(_))));
        assert_eq!(ops.run("a", || async { Ok("x") }).await.unwrap(), "x");
    }
}
