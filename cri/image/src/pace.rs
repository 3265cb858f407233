//! Whether a body comes fast enough. A registry that sends a byte now and then is never silent, and never done.

use std::time::Duration;

/// What a registry must bring at least, in bytes a second, on average over each window.
pub(crate) const MIN_RATE: u64 = 8 << 10;

/// The bytes of one body, held against the time for which it was waited. What we do with the bytes does not count.
#[derive(Debug)]
pub(crate) struct Pace {
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// A window of `window` seconds of waiting has to bring [`MIN_RATE`] times as many bytes.
    pub fn new(window: Duration) -> Self {
        Pace { window, waited: Duration::ZERO, bytes: 0 }
    }

    /// The longest that the next bytes may take.
    pub fn patience(&self) -> Duration {
        self.window.saturating_sub(self.waited)
    }

    /// So many bytes came (none: it was given up, or it goes on) after so long.
    pub fn note(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.bytes as f64 >= MIN_RATE as f64 * self.window.as_secs_f64() {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }

    /// Why it is too slow, if it is.
    pub fn slow(&self) -> Option<String> {
        if self.waited < self.window {
            return None;
        }
        let seconds = self.window.as_secs_f32();
        Some(match self.bytes {
            0 => format!("no byte for {seconds} s"),
            bytes => format!("only {bytes} bytes in {seconds} s, at least {MIN_RATE} a second are wanted"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    /// After how many seconds a body of so many bytes a second is too slow; none within an hour.
    fn ends(rate: usize) -> Option<usize> {
        let mut pace = Pace::new(WINDOW);
        (1..3600).find(|_| {
            pace.note(Duration::from_secs(1), rate);
            pace.slow().is_some()
        })
    }

    #[test]
    fn silence_and_a_trickle_end_and_a_slow_line_does_not() {
        assert_eq!(ends(0), Some(30));
        assert_eq!(ends(2048), Some(30));
        assert_eq!(ends(9000), None);
    }

    #[test]
    fn a_body_that_was_fast_may_not_rest_for_longer_than_another() {
        let mut pace = Pace::new(WINDOW);
        pace.note(Duration::from_secs(1), 100 << 20);
        assert_eq!(pace.patience(), WINDOW);
        pace.note(WINDOW, 0);
        assert!(pace.slow().unwrap().contains("no byte"));
    }
}
