//! The client's end of an exec's SPDY session, without I/O: frames in, bytes and [`Event`]s out.
//!
//! Streams are opened in the order in which all clients open them; what arrives is given back to the window at once,
//! since it is written out before more is read.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use cofferdam_streaming::spdy::{Encoder, Frame, Headers};

/// Largest DATA frame that is sent.
const PIECE: usize = 32 << 10;
/// Window of each stream and of the session before anything changes it (SPDY/3.1).
const WINDOW: i64 = 64 << 10;
/// The setting that changes the streams' first window.
const INITIAL_WINDOW: u32 = 7;

const ERROR: u32 = 1;
const STDIN: u32 = 3;
const STDOUT: u32 = 5;
const STDERR: u32 = 7;
const RESIZE: u32 = 9;

/// What the other end said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The command's output.
    Stdout(Bytes),
    /// The command's error output.
    Stderr(Bytes),
    /// How it ended: the whole error stream.
    Ended(Vec<u8>),
}

/// The state of a session.
pub struct Session {
    encoder: Encoder,
    /// To be sent.
    pub out: BytesMut,
    /// Input that waits for room in the windows.
    input: VecDeque<Bytes>,
    input_ended: bool,
    /// The command takes input still.
    open: bool,
    window: i64,
    session_window: i64,
    first_window: i64,
    error: Vec<u8>,
}

impl Session {
    /// Opens the streams.
    pub fn start(stdin: bool, tty: bool) -> Self {
        let mut session = Session {
            encoder: Encoder::default(),
            out: BytesMut::new(),
            input: VecDeque::new(),
            input_ended: false,
            open: stdin,
            window: WINDOW,
            session_window: WINDOW,
            first_window: WINDOW,
            error: Vec::new(),
        };
        session.open(ERROR, "error");
        if stdin {
            session.open(STDIN, "stdin");
        }
        session.open(STDOUT, "stdout");
        if tty {
            session.open(RESIZE, "resize");
        } else {
            session.open(STDERR, "stderr");
        }
        session
    }

    fn open(&mut self, id: u32, kind: &str) {
        let headers = Headers(vec![("streamtype".into(), kind.into())]);
        self.send(&Frame::SynStream { id, fin: false, unidirectional: false, headers });
    }

    fn send(&mut self, frame: &Frame) {
        self.encoder.encode(frame, &mut self.out);
    }

    /// Whether more input may be handed in: what waits is little.
    pub fn wants_input(&self) -> bool {
        self.open && !self.input_ended && self.input.is_empty()
    }

    /// Input for the command; empty is its end.
    pub fn input(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            self.input_ended = true;
        } else {
            self.input.push_back(bytes);
        }
        self.pump();
    }

    /// The size of the terminal.
    pub fn resize(&mut self, json: String) {
        self.send(&Frame::Data { id: RESIZE, fin: false, data: json.into() });
    }

    fn pump(&mut self) {
        while let Some(bytes) = self.input.front_mut() {
            let room = usize::try_from(self.window.min(self.session_window)).unwrap_or(0).min(PIECE);
            if room == 0 {
                return;
            }
            let data = bytes.split_to(room.min(bytes.len()));
            if bytes.is_empty() {
                self.input.pop_front();
            }
            // At most PIECE.
            let sent = data.len() as i64;
            self.window -= sent;
            self.session_window -= sent;
            self.send(&Frame::Data { id: STDIN, fin: false, data });
        }
        if std::mem::take(&mut self.input_ended) {
            self.send(&Frame::Data { id: STDIN, fin: true, data: Bytes::new() });
            self.open = false;
        }
    }

    /// Takes a frame.
    pub fn frame(&mut self, frame: Frame) -> Option<Event> {
        match frame {
            Frame::Data { id, fin, data } => return self.data(id, fin, data),
            Frame::RstStream { id: ERROR, .. } => return Some(Event::Ended(std::mem::take(&mut self.error))),
            Frame::Headers { id: ERROR, fin: true, .. } => return Some(Event::Ended(std::mem::take(&mut self.error))),
            Frame::RstStream { id: STDIN, .. } => {
                self.input.clear();
                (self.input_ended, self.open) = (false, false);
            }
            Frame::WindowUpdate { id: 0, delta } => self.session_window += i64::from(delta),
            Frame::WindowUpdate { id: STDIN, delta } => self.window += i64::from(delta),
            Frame::Settings(settings) => {
                for (_, size) in settings.into_iter().filter(|(id, _)| *id == INITIAL_WINDOW) {
                    self.window += i64::from(size) - self.first_window;
                    self.first_window = i64::from(size);
                }
            }
            // The server's numbers are even; an odd one would be the answer to one of ours, and there are none.
            Frame::Ping(number) if number % 2 == 0 => self.send(&Frame::Ping(number)),
            _ => {}
        }
        self.pump();
        None
    }

    fn data(&mut self, id: u32, fin: bool, data: Bytes) -> Option<Event> {
        if let Ok(delta @ 1..) = u32::try_from(data.len()) {
            self.send(&Frame::WindowUpdate { id: 0, delta });
            if !fin {
                self.send(&Frame::WindowUpdate { id, delta });
            }
        }
        match id {
            STDOUT if !data.is_empty() => Some(Event::Stdout(data)),
            STDERR if !data.is_empty() => Some(Event::Stderr(data)),
            ERROR => {
                self.error.extend_from_slice(&data);
                // It is sent when everything else is.
                fin.then(|| Event::Ended(std::mem::take(&mut self.error)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_streaming::spdy::Decoder;

    use super::*;

    fn sent(session: &mut Session, decoder: &mut Decoder) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.decode(&mut session.out).unwrap() {
            frames.push(frame);
        }
        frames
    }

    fn data(frames: &[Frame]) -> usize {
        frames.iter().map(|f| if let Frame::Data { id: STDIN, data, .. } = f { data.len() } else { 0 }).sum()
    }

    #[test]
    fn input_waits_for_the_window_and_its_end_comes_last() {
        let (mut session, mut decoder) = (Session::start(true, false), Decoder::default());
        assert_eq!(sent(&mut session, &mut decoder).len(), 4);
        session.input(Bytes::from(vec![0; 100 << 10]));
        assert_eq!(data(&sent(&mut session, &mut decoder)), 64 << 10);
        assert!(!session.wants_input());
        session.input(Bytes::new());
        session.frame(Frame::WindowUpdate { id: STDIN, delta: 64 << 10 });
        assert_eq!(data(&sent(&mut session, &mut decoder)), 0);
        session.frame(Frame::WindowUpdate { id: 0, delta: 64 << 10 });
        let rest = sent(&mut session, &mut decoder);
        assert_eq!(data(&rest), 36 << 10);
        assert!(matches!(rest.last(), Some(Frame::Data { id: STDIN, fin: true, .. })));
    }

    #[test]
    fn output_is_given_back_to_both_windows() {
        let (mut session, mut decoder) = (Session::start(false, false), Decoder::default());
        sent(&mut session, &mut decoder);
        let event = session.frame(Frame::Data { id: STDOUT, fin: false, data: Bytes::from_static(b"hello") });
        assert_eq!(event, Some(Event::Stdout(Bytes::from_static(b"hello"))));
        let updates = sent(&mut session, &mut decoder);
        assert_eq!(updates, [0, STDOUT].map(|id| Frame::WindowUpdate { id, delta: 5 }));
    }

    #[test]
    fn the_error_stream_is_told_when_it_is_whole() {
        let mut session = Session::start(false, true);
        assert_eq!(session.frame(Frame::Data { id: ERROR, fin: false, data: Bytes::from_static(b"ab") }), None);
        let event = session.frame(Frame::Data { id: ERROR, fin: true, data: Bytes::from_static(b"c") });
        assert_eq!(event, Some(Event::Ended(b"abc".to_vec())));
    }
}
