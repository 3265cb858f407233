//! How often one request is tried, and the pauses between.

use std::time::Duration;

/// How often without a word of the registry, and the pause before the second time, which doubles.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a registry may ask for, and all of them together: kubelet asks again anyway.
const LONGEST: Duration = Duration::from_secs(60);
const TOGETHER: Duration = Duration::from_secs(180);

/// The tries of one request.
pub(crate) struct Waits {
    patient: bool,
    tries: u32,
    asked: Duration,
}

impl Waits {
    /// `patient`: pauses that the registry asks for are made.
    pub fn new(patient: bool) -> Self {
        Waits { patient, tries: 1, asked: Duration::ZERO }
    }

    /// The pause before the next try, or why there is none. `after`: what the registry asks for.
    pub fn next(&mut self, after: Option<Duration>) -> Result<Duration, String> {
        let after = after.filter(|after| !after.is_zero());
        let Some(after) = after else {
            let pause = PAUSE * 2_u32.pow(self.tries - 1);
            self.tries += 1;
            return if self.tries <= TRIES { Ok(pause) } else { Err(format!("tried {TRIES} times")) };
        };
        let text = format!("it wants to be left alone for {} s", after.as_secs());
        if !self.patient || after > LONGEST || self.asked + after > TOGETHER {
            return Err(text);
        }
        self.asked += after;
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_asked_for_is_made_within_limits() {
        let seconds = |n| Some(Duration::from_secs(n));
        let mut waits = Waits::new(true);
        assert_eq!(waits.next(seconds(3)), Ok(Duration::from_secs(3)));
        assert_eq!(waits.next(None), Ok(PAUSE));
        assert!(waits.next(seconds(3600)).unwrap_err().contains("3600 s"));
        assert_eq!((1..100).find(|_| Waits::next(&mut waits, seconds(60)).is_err()), Some(3));
        assert!(Waits::new(false).next(seconds(1)).is_err());
    }

    #[test]
    fn without_a_word_the_pauses_grow_and_end() {
        let mut waits = Waits::new(true);
        let all: Vec<_> = std::iter::from_fn(|| waits.next(Some(Duration::ZERO)).ok()).collect();
        assert_eq!(all, [PAUSE, 2 * PAUSE, 4 * PAUSE]);
    }
}
