//! Faults that can be injected into every creation: at a step, and at a write of the store.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cofferdam_cri_server::{Checkpoint, Error, Moment, Step};
use cofferdam_store::{Disk, File, Rows, StoreError};
use tokio::sync::Semaphore;

/// What happens to a creation that comes by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The step fails, once.
    Fails,
    /// It never goes on: the daemon is about to die.
    Hangs,
}

/// The one place where something happens.
pub struct Gate {
    set: Mutex<Option<(Step, Moment, Fate)>>,
    reached: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { set: Mutex::default(), reached: Semaphore::new(0) }
    }
}

impl Gate {
    pub fn set(&self, step: impl Into<Step>, moment: Moment, fate: Fate) {
        *self.set.lock().unwrap() = Some((step.into(), moment, fate));
    }

    pub fn clear(&self) {
        *self.set.lock().unwrap() = None;
    }

    /// Returns once a creation has come by.
    pub async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Checkpoint for Gate {
    async fn pass(&self, step: Step, moment: Moment) -> Result<(), Error> {
        let set = *self.set.lock().unwrap();
        let Some((_, _, fate)) = set.filter(|(s, m, _)| (*s, *m) == (step, moment)) else { return Ok(()) };
        self.reached.add_permits(1);
        match fate {
            Fate::Fails => {
                self.clear();
                Err(Error::Internal(format!("injected: {step:?} {moment:?}")))
            }
            Fate::Hangs => std::future::pending().await,
        }
    }
}

/// Which write of the store fails: none, or the one after so many more.
#[derive(Default)]
pub struct Writes(AtomicUsize);

impl Writes {
    /// The `nth` write from now on fails; 0 is the next one.
    pub fn fail(&self, nth: usize) {
        self.0.store(nth + 1, SeqCst);
    }

    /// Whether the write that was to fail has failed; none fails from now on.
    pub fn failed(&self) -> bool {
        self.0.swap(0, SeqCst) == 0
    }
}

/// The store's file, behind writes that fail.
pub struct FaultyDisk {
    pub file: File,
    pub writes: Arc<Writes>,
}

impl Disk for FaultyDisk {
    fn load(&self, table: &'static str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.file.load(table)
    }

    fn commit(&mut self, rows: &Rows) -> Result<(), StoreError> {
        match self.writes.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(1) => Err(StoreError::Write("injected".into())),
            _ => self.file.commit(rows),
        }
    }
}
