//! Turns at hashing and unpacking: the node works on a few layers at a time, and those who wait are served fairly, by
//! tenant, then by image. A turn is for bytes that are there: a layer that waits for its registry has none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::ImageError;

/// How long a turn lasts when others wait.
const TURN: Duration = Duration::from_millis(200);

/// On whose account work is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Share {
    /// Empty: nobody said.
    pub tenant: String,
    pub image: String,
}

/// The turns of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<State>>);

struct State {
    free: usize,
    waiting: Vec<Waiter>,
    ledger: Ledger,
}

struct Waiter {
    share: Share,
    turn: oneshot::Sender<Turn>,
}

/// Who has how many turns, and who had one last.
#[derive(Default)]
struct Ledger {
    tenants: HashMap<String, Account>,
    images: HashMap<Share, Account>,
    clock: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Account {
    turns: usize,
    last: u64,
}

impl Ledger {
    /// Which of those that wait is next: of the tenant with the fewest turns, then of the image with the fewest, then
    /// whoever had none for longest, then whoever came first.
    fn next<'a>(&self, waiting: impl Iterator<Item = &'a Share>) -> Option<usize> {
        let account = |share: &Share| {
            let tenant = self.tenants.get(&share.tenant).copied().unwrap_or_default();
            (tenant, self.images.get(share).copied().unwrap_or_default())
        };
        waiting.enumerate().min_by_key(|(i, share)| (account(share), *i)).map(|(i, _)| i)
    }

    fn give(&mut self, share: &Share) {
        self.clock += 1;
        let last = self.clock;
        for account in
            [self.tenants.entry(share.tenant.clone()).or_default(), self.images.entry(share.clone()).or_default()]
        {
            *account = Account { turns: account.turns + 1, last };
        }
    }

    fn take(&mut self, share: &Share) {
        let accounts = [self.tenants.get_mut(&share.tenant), self.images.get_mut(share)];
        accounts.into_iter().flatten().for_each(|account| account.turns -= 1);
    }
}

impl Slots {
    /// So many turns at a time.
    pub fn new(turns: usize) -> Self {
        Slots(Arc::new(Mutex::new(State { free: turns, waiting: Vec::new(), ledger: Ledger::default() })))
    }

    /// Waits for a turn.
    pub async fn turn(&self, share: &Share) -> Result<Turn, ImageError> {
        let (turn, granted) = oneshot::channel();
        self.lock().waiting.push(Waiter { share: share.clone(), turn });
        self.grant();
        granted.await.map_err(|e| ImageError::Failed(e.to_string()))
    }

    /// Gives what is free to those that wait.
    fn grant(&self) {
        loop {
            let (waiter, turn) = {
                let mut state = self.lock();
                state.waiting.retain(|waiter| !waiter.turn.is_closed());
                if state.free == 0 {
                    return;
                }
                let Some(next) = state.ledger.next(state.waiting.iter().map(|waiter| &waiter.share)) else { return };
                let waiter = state.waiting.remove(next);
                state.ledger.give(&waiter.share);
                state.free -= 1;
                let turn = Turn { slots: self.clone(), share: waiter.share.clone(), since: Instant::now() };
                (waiter, turn)
            };
            // One who gave up a moment ago hands it back, by dropping it.
            let _ = waiter.turn.send(turn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work. Dropped, it is the next one's.
pub(crate) struct Turn {
    slots: Slots,
    share: Share,
    since: Instant,
}

impl Turn {
    /// Others wait, and it was long enough.
    pub fn is_over(&self) -> bool {
        self.since.elapsed() >= TURN && !self.slots.lock().waiting.is_empty()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.slots.lock();
            state.free += 1;
            state.ledger.take(&self.share);
            let idle = state.waiting.is_empty() && state.ledger.tenants.values().all(|account| account.turns == 0);
            if idle {
                // What was is of no use any more, and would only grow.
                state.ledger = Ledger::default();
            }
        }
        self.slots.grant();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn share(tenant: &str, image: &str) -> Share {
        Share { tenant: tenant.into(), image: image.into() }
    }

    #[tokio::test]
    async fn a_tenant_with_many_images_gets_no_more_than_one_with_a_single_one() {
        let slots = Slots::new(2);
        let many: Vec<_> = (0..20).map(|i| share("greedy", &i.to_string())).collect();
        let held = [slots.turn(&many[0]).await.unwrap(), slots.turn(&many[1]).await.unwrap()];
        let mut queue: Vec<_> = many[2..].iter().map(|share| Box::pin(slots.turn(share))).collect();
        assert!(queue.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        let modest = share("modest", "a");
        let mut late = Box::pin(slots.turn(&modest));
        assert!(late.as_mut().now_or_never().is_none());
        drop(held);
        // Two are free: one is for each tenant, though 18 came first.
        let late = late.now_or_never();
        assert!(late.is_some());
        let served: Vec<_> = queue.iter_mut().filter_map(|turn| turn.as_mut().now_or_never()).collect();
        assert_eq!(served.len(), 1);
    }

    #[test]
    fn an_image_of_many_layers_does_not_keep_another_of_the_same_tenant_waiting() {
        let mut ledger = Ledger::default();
        let (large, small) = (share("t", "large"), share("t", "small"));
        ledger.give(&large);
        assert_eq!(ledger.next([&large, &large, &small].into_iter()), Some(2));
    }

    #[test]
    fn among_equals_the_turn_goes_round() {
        let mut ledger = Ledger::default();
        let all = [share("a", "1"), share("b", "1"), share("c", "1")];
        let mut order = Vec::new();
        for _ in 0..6 {
            let next = ledger.next(all.iter()).unwrap();
            ledger.give(&all[next]);
            ledger.take(&all[next]);
            order.push(next);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn one_who_gives_up_waiting_or_with_a_turn_in_hand_blocks_nobody() {
        let slots = Slots::new(1);
        let (a, b) = (share("a", "1"), share("b", "1"));
        let held = slots.turn(&a).await.unwrap();
        let mut given_up = Box::pin(slots.turn(&b));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        let mut granted = Box::pin(slots.turn(&b));
        assert!(granted.as_mut().now_or_never().is_none());
        drop(held);
        drop(granted);
        assert!(slots.turn(&a).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_when_others_wait_and_not_before_its_time() {
        let slots = Slots::new(1);
        let a = share("a", "1");
        let held = slots.turn(&a).await.unwrap();
        tokio::time::advance(2 * TURN).await;
        assert!(!held.is_over());
        let mut other = Box::pin(slots.turn(&a));
        assert!(other.as_mut().now_or_never().is_none() && held.is_over());
        drop(held);
        let next = other.await.unwrap();
        assert!(!next.is_over());
    }
}
