//! Who waits for an answer of a shim, and when it counts as hung.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use cofferdam_pod_api::{Op, Outcome, Patience};
use cofferdam_sandbox::PodError;
use tokio::sync::{Notify, oneshot};

use crate::lock::lock;

/// How often the age of requests is looked at. They age by looks, not by the clock: a daemon that was stopped itself
/// for a while must not blame its shims for that.
const LOOK: Duration = Duration::from_secs(1);

type Answer = Result<Outcome, PodError>;

/// All requests of one connection that are not answered.
#[derive(Default)]
pub(crate) struct Waiting {
    requests: Mutex<HashMap<u64, Request>>,
    asked: Notify,
}

struct Request {
    answer: oneshot::Sender<Answer>,
    what: &'static str,
    /// Looks until it is overdue, and how many it had.
    left: u64,
    limit: u64,
    /// Whether it makes or starts a container.
    setup: bool,
    /// Whether it may wait behind one that does: whatever does not end anything.
    behind: bool,
}

impl Waiting {
    /// One more, which is about to be sent. Ages also if nobody waits for the answer any more.
    pub(crate) fn add(&self, id: u64, op: &Op) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let limit = (Patience::default().with(op) + Patience::MARGIN).as_secs();
        let setup = matches!(op, Op::Create(_) | Op::Start(_));
        let behind = !setup && !matches!(op, Op::Boot(_) | Op::Setup(_) | Op::Stop(_) | Op::Signal(_) | Op::Delete(_));
        lock(&self.requests).insert(id, Request { answer, what: op.name(), left: limit, limit, setup, behind });
        self.asked.notify_one();
        answered
    }

    /// The answer to one. Whoever asked may be gone.
    pub(crate) fn answer(&self, id: u64, answer: Answer) {
        if let Some(request) = lock(&self.requests).remove(&id) {
            let _ = request.answer.send(answer);
        }
    }

    /// No answer will come any more.
    pub(crate) fn fail(&self, reason: &PodError) {
        let requests = std::mem::take(&mut *lock(&self.requests));
        requests.into_values().for_each(|request| drop(request.answer.send(Err(reason.clone()))));
    }

    /// Returns once an answer is overdue, and says which.
    pub(crate) async fn overdue(&self) -> String {
        loop {
            self.asked.notified().await;
            while !lock(&self.requests).is_empty() {
                tokio::time::sleep(LOOK).await;
                if let Some(overdue) = self.look() {
                    return overdue;
                }
            }
        }
    }

    fn look(&self) -> Option<String> {
        let mut requests = lock(&self.requests);
        // A shim makes and starts containers in the loop that answers: what only waits behind that is not overdue.
        let busy = requests.values().any(|request| request.setup);
        let ages = requests.values_mut().filter(|request| !busy || !request.behind);
        ages.for_each(|request| request.left = request.left.saturating_sub(1));
        let Request { what, limit, .. } = requests.values().find(|request| request.left == 0)?;
        Some(format!("its shim did not answer a request ({what}) within {limit} s"))
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_pod_api::{GetStats, Start, Stop};
    use futures::FutureExt;

    use super::*;

    fn stats() -> Op {
        Op::Stats(GetStats { container: String::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_is_overdue_even_if_nobody_waits_for_it() {
        let waiting = Waiting::default();
        drop(waiting.add(1, &stats()));
        let limit = Patience::default().answer + Patience::MARGIN;
        let start = tokio::time::Instant::now();
        let reason = waiting.overdue().await;
        assert!(start.elapsed() >= limit && start.elapsed() < limit + 2 * LOOK, "{:?}", start.elapsed());
        assert!(reason.contains("(stats) within 40 s"), "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_answered_is_never_overdue_and_each_ages_for_itself() {
        let waiting = Waiting::default();
        let overdue = waiting.overdue();
        tokio::pin!(overdue);
        for id in 0..100 {
            let answered = waiting.add(id, &stats());
            assert!(tokio::time::timeout(Duration::from_secs(20), &mut overdue).await.is_err());
            waiting.answer(id, Err(PodError::State(id.to_string())));
            assert!(answered.await.unwrap().is_err());
        }
        let _long = waiting.add(200, &stats());
        let _short = waiting.add(201, &Op::Stop(Stop {}));
        assert!(overdue.await.contains("stop"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_behind_a_container_being_made_is_not_overdue_but_its_end_is() {
        let waiting = Waiting::default();
        let overdue = waiting.overdue();
        tokio::pin!(overdue);
        let _made = waiting.add(1, &Op::Start(Start { container: String::new() }));
        let _asked = waiting.add(2, &stats());
        let limit = Patience::default().setup + Patience::MARGIN;
        assert!(tokio::time::timeout(limit - 2 * LOOK, &mut overdue).await.is_err());
        let _stop = waiting.add(3, &Op::Stop(Stop {}));
        assert!(overdue.await.contains("start"));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_daemon_did_not_run_counts_once() {
        let waiting = Waiting::default();
        let _answered = waiting.add(1, &stats());
        let overdue = waiting.overdue();
        tokio::pin!(overdue);
        assert!((&mut overdue).now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!((&mut overdue).now_or_never().is_none());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_the_end() {
        let waiting = Waiting::default();
        let answered = waiting.add(1, &stats());
        waiting.fail(&PodError::Gone("it ended".into()));
        assert!(matches!(answered.await.unwrap(), Err(PodError::Gone(_))));
    }
}
