//! Equal work is done once: whoever asks while it runs waits for the same result. It goes on when all of them give up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::ImageError;

type Flight<T> = Shared<BoxFuture<'static, Result<T, ImageError>>>;

/// What runs, by what it is.
pub(crate) struct Flights<K, T> {
    running: Arc<Mutex<HashMap<K, Flight<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Flights { running: Arc::default() }
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
            match running.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let landed = Landed { running: self.running.clone(), key: key.clone() };
                    let work = work();
                    let task = tokio::spawn(async move {
                        let _landed = landed;
                        work.await
                    });
                    let end = async move { task.await.unwrap_or_else(|e| Err(ImageError::Failed(e.to_string()))) };
                    let flight = end.boxed().shared();
                    running.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }
}

/// Takes the key away when the work ends, even by a panic.
struct Landed<K: Eq + Hash, T> {
    running: Arc<Mutex<HashMap<K, Flight<T>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landed<K, T> {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test]
    async fn equal_work_runs_once_and_outlives_who_asked() {
        let flights = Arc::new(Flights::<&str, u32>::default());
        let (runs, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(tokio::sync::Notify::new()));
        let start = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            move || async move {
                gate.notified().await;
                Ok(runs.fetch_add(1, SeqCst))
            }
        };
        let given_up = flights.run("a", start()).now_or_never();
        assert!(given_up.is_none());
        let open = async { gate.notify_one() };
        let (one, two, ()) = tokio::join!(flights.run("a", start()), flights.run("a", start()), open);
        assert_eq!((one, two), (Ok(0), Ok(0)));
        gate.notify_one();
        assert_eq!(flights.run("a", start()).await, Ok(1));
    }
}
