//! Equal work is done once: whoever asks while it runs waits for the same result. It ends when all of them give up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::task::JoinHandle;

use crate::ImageError;

type Work<T> = BoxFuture<'static, Result<T, ImageError>>;
type Running<K, T> = Arc<Mutex<HashMap<K, (u64, WeakShared<Work<T>>)>>>;

/// What runs, by what it is.
pub(crate) struct Flights<K, T> {
    running: Running<K, T>,
    started: std::sync::atomic::AtomicU64,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Flights { running: Arc::default(), started: Default::default() }
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the work of that key, or starts it.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<T, ImageError>
    where
        F: Future<Output = Result<T, ImageError>> + Send + 'static,
    {
        let flight = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            // One that nobody waited for any more is ending.
            match running.get(&key).and_then(|(_, flight)| flight.upgrade()) {
                Some(flight) => flight,
                None => {
                    let number = self.started.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let landed = Landed { running: self.running.clone(), key: key.clone(), number };
                    let flight = self.start(landed, work());
                    if let Some(weak) = flight.downgrade() {
                        running.insert(key, (number, weak));
                    }
                    flight
                }
            }
        };
        flight.await
    }

    fn start<F>(&self, landed: Landed<K, T>, work: F) -> Shared<Work<T>>
    where
        F: Future<Output = Result<T, ImageError>> + Send + 'static,
    {
        let mut task = Ended(tokio::spawn(async move {
            let _landed = landed;
            work.await
        }));
        let end = async move { (&mut task.0).await.unwrap_or_else(|e| Err(ImageError::Failed(e.to_string()))) };
        end.boxed().shared()
    }
}

/// A task that ends with whoever waits for it.
struct Ended<T>(JoinHandle<T>);

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes the key away when the work ends, even by a panic.
struct Landed<K: Eq + Hash, T> {
    running: Running<K, T>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T> Drop for Landed<K, T> {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // The next one of that key may run already.
        if running.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            running.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test]
    async fn equal_work_runs_once_and_goes_on_while_anybody_waits() {
        let flights = Arc::new(Flights::<&str, u32>::default());
        let (runs, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
        let start = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            move || async move {
                gate.notified().await;
                Ok(runs.fetch_add(1, SeqCst))
            }
        };
        let mut stays = Box::pin(flights.run("a", start()));
        assert!(stays.as_mut().now_or_never().is_none());
        let mut leaves = Box::pin(flights.run("a", start()));
        assert!(leaves.as_mut().now_or_never().is_none());
        drop(leaves);
        let open = async { gate.notify_one() };
        let (one, two, ()) = tokio::join!(stays, flights.run("a", start()), open);
        assert_eq!((one, two), (Ok(0), Ok(0)));
        gate.notify_one();
        assert_eq!(flights.run("a", start()).await, Ok(1));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends_and_can_be_asked_for_again() {
        let flights = Flights::<&str, u32>::default();
        let alive = Arc::new(());
        let held = alive.clone();
        let never = move || async move {
            let _held = held;
            std::future::pending().await
        };
        assert!(flights.run("a", never).now_or_never().is_none());
        assert_eq!(flights.run("a", || async { Ok(1) }).await, Ok(1));
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
        assert!(flights.running.lock().unwrap().is_empty());
    }
}
