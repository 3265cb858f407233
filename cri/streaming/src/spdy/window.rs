//! Flow control windows (SPDY/3.1, 2.6.8), pure.

/// Window of a stream and of the session before anything changes it, bytes (SPDY/3.1, 2.6.8).
pub(super) const INITIAL_WINDOW: u32 = 64 * 1024;

/// Largest window.
const MAX: i64 = (1 << 31) - 1;

/// The window was raised over 2^31-1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// How much may still be sent. It can be negative: see `take`, and SETTINGS may shrink it after the fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    pub(super) fn new(initial: u32) -> Self {
        Self(i64::from(initial))
    }

    pub(super) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Counts what is sent, be it more than available: a peer that never sends a WINDOW_UPDATE is not held to its
    /// window.
    pub(super) fn take(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    pub(super) fn grow(&mut self, delta: i64) -> Result<(), Overflow> {
        self.0 += delta;
        if self.0 > MAX { Err(Overflow) } else { Ok(()) }
    }
}

/// What was read and not yet given back to the sender.
#[derive(Debug, Default)]
pub(super) struct ReceiveWindow(u32);

impl ReceiveWindow {
    /// Counts bytes that are read; answers what to give back now: by halves of the window, so that frames stay few.
    pub(super) fn consumed(&mut self, bytes: usize) -> Option<u32> {
        self.0 = self.0.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        (self.0 >= INITIAL_WINDOW / 2).then(|| std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_goes_below_zero_and_comes_back() {
        let mut window = SendWindow::new(100);
        window.take(150);
        assert_eq!(window.available(), 0);
        window.grow(60).unwrap();
        assert_eq!(window.available(), 10);
    }

    #[test]
    fn a_send_window_over_2_gib_is_an_error() {
        let mut window = SendWindow::new(INITIAL_WINDOW);
        assert_eq!(window.grow(MAX), Err(Overflow));
    }

    #[test]
    fn credit_is_given_back_by_halves_and_none_is_lost() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.consumed(30_000), None);
        assert_eq!(window.consumed(30_000), Some(60_000));
        assert_eq!(window.consumed(1), None);
    }
}
