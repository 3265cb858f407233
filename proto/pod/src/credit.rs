//! Credit of one direction of one stream: a sender never has more than [`WINDOW`] bytes on their way.

/// Bytes that may be sent before the first credit comes.
pub const WINDOW: u32 = 128 * 1024;

/// The sender's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    left: u32,
}

impl Default for Send {
    fn default() -> Self {
        Send { left: WINDOW }
    }
}

impl Send {
    /// Bytes that may be sent now.
    pub fn available(&self) -> usize {
        self.left as usize
    }

    /// Bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u32);
    }

    /// The receiver allows more. `false`: more than was ever taken, which no honest peer does.
    #[must_use]
    pub fn granted(&mut self, bytes: u32) -> bool {
        match self.left.checked_add(bytes) {
            Some(left) if left <= WINDOW => {
                self.left = left;
                true
            }
            _ => false,
        }
    }
}

/// The receiver's side: holds the peer to its window, and gathers what was consumed, so that not every byte costs a
/// frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    allowed: u32,
    consumed: u32,
}

impl Default for Receive {
    fn default() -> Self {
        Receive { allowed: WINDOW, consumed: 0 }
    }
}

impl Receive {
    /// Bytes came. `false`: more than were allowed.
    #[must_use]
    pub fn received(&mut self, bytes: usize) -> bool {
        match u32::try_from(bytes).ok().and_then(|bytes| self.allowed.checked_sub(bytes)) {
            Some(left) => {
                self.allowed = left;
                true
            }
            None => false,
        }
    }

    /// Bytes were taken out of the buffer. Answers a credit to send, once it is worth a frame.
    pub fn consumed(&mut self, bytes: usize) -> Option<u32> {
        self.consumed += bytes as u32;
        if self.consumed < WINDOW / 4 {
            return None;
        }
        let credit = std::mem::take(&mut self.consumed);
        self.allowed += credit;
        Some(credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_stops_at_the_window_and_goes_on_with_credit() {
        let (mut send, mut receive) = (Send::default(), Receive::default());
        assert_eq!(send.available(), WINDOW as usize);
        send.sent(WINDOW as usize);
        assert!(receive.received(WINDOW as usize));
        assert_eq!(send.available(), 0);
        assert_eq!(receive.consumed(100), None);
        let credit = receive.consumed(WINDOW as usize / 4).unwrap();
        assert!(send.granted(credit));
        assert_eq!(send.available(), WINDOW as usize / 4 + 100);
    }

    #[test]
    fn a_peer_that_sends_beyond_its_credit_is_caught() {
        let mut receive = Receive::default();
        assert!(receive.received(WINDOW as usize));
        assert!(!receive.received(1));
    }

    #[test]
    fn credit_that_was_never_taken_is_caught() {
        let mut send = Send::default();
        assert!(!send.granted(1));
        send.sent(10);
        assert!(!send.granted(11));
        assert!(!send.granted(u32::MAX));
        assert!(send.granted(10));
    }
}
