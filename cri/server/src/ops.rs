//! Operations that outlive their RPC.
//!
//! An operation runs in a task of its own under a key. A client that gives up does not stop it, and one that comes again
//! with the same key joins it. What it leaves behind (an id, a state) is found in the store by later retries.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::Error;

type Outcome = Result<String, Error>;
type Running = HashMap<String, Shared<BoxFuture<'static, Outcome>>>;

/// The operations under way.
#[derive(Clone, Default)]
pub(crate) struct Ops {
    running: Arc<Mutex<Running>>,
}

impl Ops {
    /// Joins the operation under `key`, or begins it with `start`.
    pub async fn run<F, Fut>(&self, key: String, start: F) -> Outcome
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let shared = {
            let mut running = self.lock();
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
    pub async fn wait(&self, key: &str) {
        let running = self.lock().get(key).cloned();
        if let Some(running) = running {
            // Its own caller is told.
            let _ = running.await;
        }
    }

    fn spawn(
        &self,
        key: String,
        operation: impl Future<Output = Outcome> + Send + 'static,
    ) -> impl Future<Output = Outcome> + Send + 'static {
        let task = tokio::spawn({
            let ops = self.clone();
            let key = key.clone();
            async move {
                let outcome = std::panic::AssertUnwindSafe(operation).catch_unwind().await;
                ops.lock().remove(&key);
                outcome
            }
        });
        async move {
            match task.await {
                Ok(Ok(outcome)) => outcome,
                _ => Err(Error::Internal(format!("operation {key} panicked"))),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // The map is never left half-changed, so a poisoned lock is as good as a healthy one.
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn equal_keys_share_one_run() {
        let (ops, runs) = (Ops::default(), Arc::new(AtomicUsize::new(0)));
        let one = || {
            let runs = runs.clone();
            ops.run("a".into(), move || async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(runs.fetch_add(1, Ordering::SeqCst).to_string())
            })
        };
        let (a, b) = tokio::join!(one(), one());
        assert_eq!((a.unwrap(), b.unwrap()), ("0".into(), "0".into()));
        assert_eq!(one().await.unwrap(), "1", "a finished run is not joined");
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_stop_the_run() {
        let (ops, done) = (Ops::default(), Arc::new(tokio::sync::Notify::new()));
        let run = ops.run("a".into(), {
            let done = done.clone();
            move || async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                done.notify_one();
                Ok(String::new())
            }
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), run).await.is_err());
        tokio::time::timeout(Duration::from_secs(5), done.notified()).await.expect("the run goes on");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_the_key() {
        let ops = Ops::default();
        let result = ops.run("a".into(), || async { panic!("boom") }).await;
        assert!(matches!(result, Err(Error::Internal(_))));
        assert_eq!(ops.run("a".into(), || async { Ok("x".into()) }).await.unwrap(), "x");
    }
}
