//! Waiting for a condition. How long a machine takes is no subject of a test, so the limit is one that only a hang
//! reaches.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take: several times what the slowest one needs on a machine that is busy with something
/// else.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a condition answers: yes or no, or an error that counts as no.
pub trait Answer {
    /// Whether it holds.
    fn holds(self) -> Result<bool>;
}

impl Answer for bool {
    fn holds(self) -> Result<bool> {
        Ok(self)
    }
}

impl Answer for Result<bool> {
    fn holds(self) -> Result<bool> {
        self
    }
}

/// Asks again until the condition holds. After [`PATIENCE`] it fails with the last error, naming `what`.
pub fn eventually<A: Answer>(what: &str, mut condition: impl FnMut() -> A) -> Result<()> {
    let mut wait = Wait::new(what);
    while wait.goes_on(condition())? {
        std::thread::sleep(wait.pause);
    }
    Ok(())
}

/// [`eventually`] for tests with a runtime. Time that is paused does not shorten it.
pub async fn eventually_async<A: Answer>(what: &str, mut condition: impl AsyncFnMut() -> A) -> Result<()> {
    let mut wait = Wait::new(what);
    while wait.goes_on(condition().await)? {
        tokio::time::sleep(wait.pause).await;
    }
    Ok(())
}

/// One wait: when it began, and how long to pause until the next question.
struct Wait<'a> {
    what: &'a str,
    deadline: Instant,
    pause: Duration,
}

impl<'a> Wait<'a> {
    fn new(what: &'a str) -> Self {
        Self { what, deadline: Instant::now() + PATIENCE, pause: Duration::from_millis(1) }
    }

    /// Whether to ask again, a little later than the last time.
    fn goes_on(&mut self, answer: impl Answer) -> Result<bool> {
        let answer = answer.holds();
        if matches!(answer, Ok(true)) {
            return Ok(false);
        }
        if Instant::now() > self.deadline {
            return match answer {
                Err(error) => Err(error.context(format!("{}: not within {PATIENCE:?}", self.what))),
                Ok(_) => bail!("{}: not within {PATIENCE:?}", self.what),
            };
        }
        self.pause = (self.pause * 2).min(Duration::from_millis(50));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_it_holds() {
        let mut asked = 0;
        eventually("the third time", || {
            asked += 1;
            asked == 3
        })
        .unwrap();
        assert_eq!(asked, 3);
    }

    #[test]
    fn the_last_error_is_told_after_the_deadline() {
        let mut wait = Wait { what: "rain", deadline: Instant::now(), pause: Duration::ZERO };
        std::thread::sleep(Duration::from_millis(1));
        let error = wait.goes_on(Err(anyhow::anyhow!("no cloud")) as Result<bool>).unwrap_err();
        assert!(format!("{error:#}").starts_with("rain: not within 180s: no cloud"), "{error:#}");
    }
}
