//! Requests to the agent that it has not answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cofferdam_pod_api::{Op, PodError, Request};

use crate::serve::Origin;

/// Requests that may wait for a guest at a time; beyond it lies no real daemon, only one that asks a mute guest again
/// and again.
const MOST: usize = 4096;

/// All of them, by the number under which they were sent.
pub(super) struct Questions {
    pending: BTreeMap<u64, Pending>,
    /// When each must be answered at the latest.
    due: BTreeSet<(Instant, u64)>,
    next: u64,
}

/// One request.
pub(super) struct Pending {
    /// Who asked; `None` if it is gone, or was the shim itself.
    pub(super) origin: Option<Origin>,
    pub(super) expects: Expects,
    /// What was asked for, in a word, and how long it may take.
    what: &'static str,
    limit: Duration,
    until: Instant,
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expects {
    /// The guest is set up; asked by the shim itself.
    Setup,
    /// The guest has ended its containers; asked by the shim itself.
    Stop,
    /// A new container's status.
    Created(String),
    /// A started container's status.
    Started(String),
    /// The container is forgotten.
    Deleted(String),
    /// A stream was opened.
    Opened(u32),
    /// Done.
    Empty,
    /// Limits in force.
    Resources,
    /// Resource use.
    Stats,
}

impl Default for Questions {
    fn default() -> Self {
        Questions { pending: BTreeMap::new(), due: BTreeSet::new(), next: 1 }
    }
}

impl Questions {
    /// Whether one more may be asked.
    pub(super) fn room(&self) -> Result<(), PodError> {
        match self.pending.len() < MOST {
            true => Ok(()),
            false => Err(PodError::State(format!("the guest has {MOST} requests to answer"))),
        }
    }

    /// A new request, as it is sent, which the guest has so long to answer.
    pub(super) fn ask(
        &mut self,
        origin: Option<Origin>,
        op: Op,
        expects: Expects,
        now: Instant,
        limit: Duration,
    ) -> Request {
        let (id, until) = (self.next, now + limit);
        self.next += 1;
        self.pending.insert(id, Pending { origin, expects, what: op.name(), limit, until });
        self.due.insert((until, id));
        Request { id, fds: 0, op: Some(op) }
    }

    /// The request that an answer belongs to.
    pub(super) fn answered(&mut self, id: u64) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.due.remove(&(pending.until, id));
        Some(pending)
    }

    /// When the next answer is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    /// What the guest has failed to answer in its time, for people.
    pub(super) fn overdue(&self, now: Instant) -> Option<String> {
        let (_, id) = self.due.first().filter(|(until, _)| *until <= now)?;
        let Pending { what, limit, .. } = self.pending.get(id)?;
        Some(format!("the guest did not answer a request ({what}) within {limit:?}"))
    }

    /// A connection is over: nobody there waits for answers.
    pub(super) fn forget(&mut self, connection: u32) {
        for pending in self.pending.values_mut() {
            pending.origin = pending.origin.filter(|origin| origin.connection != connection);
        }
    }

    /// No answer will come any more: who still waits for one.
    pub(super) fn abandon(&mut self) -> Vec<Origin> {
        self.due.clear();
        std::mem::take(&mut self.pending).into_values().filter_map(|pending| pending.origin).collect()
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_pod_api::{GetStats, List};

    use super::*;

    #[test]
    fn a_request_is_overdue_at_its_own_limit_and_never_once_it_is_answered() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let at = |seconds: u32| start + second * seconds;
        let mut questions = Questions::default();
        assert_eq!((questions.next_due(), questions.overdue(at(1000))), (None, None));
        let long = questions.ask(None, Op::List(List {}), Expects::Empty, start, second * 9);
        let stats = Op::Stats(GetStats { container: String::new() });
        let short = questions.ask(None, stats, Expects::Stats, at(1), second * 3);
        assert_eq!((questions.next_due(), questions.overdue(at(3))), (Some(at(4)), None));
        let reason = questions.overdue(at(4)).unwrap();
        assert!(reason.contains("(stats) within 3s"), "{reason}");
        assert!(questions.answered(short.id).is_some() && questions.answered(short.id).is_none());
        assert_eq!((questions.next_due(), questions.overdue(at(8))), (Some(at(9)), None));
        assert!(questions.overdue(at(9)).is_some());
        questions.answered(long.id);
        assert_eq!((questions.next_due(), questions.overdue(at(1000))), (None, None));
    }

    #[test]
    fn a_mute_guest_is_not_asked_for_ever() {
        let mut questions = Questions::default();
        let mut asked = 0;
        while questions.room().is_ok() {
            questions.ask(None, Op::List(List {}), Expects::Empty, Instant::now(), Duration::ZERO);
            asked += 1;
        }
        assert_eq!(asked, MOST);
        questions.answered(1);
        assert!(questions.room().is_ok());
        questions.abandon();
        assert_eq!(questions.next_due(), None);
    }
}
