//! SPDY/3.1 frames, as whoever holds a streaming token may send them.

use bytes::BytesMut;
use cofferdam_streaming::spdy::{Decoder, Encoder, Frame};

/// Bytes of a connection, cut into pieces as the first byte says.
pub fn frames(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let mut decoder = Decoder::default();
    let mut buffer = BytesMut::new();
    let mut data = 0;
    let mut seen = Vec::new();
    'stream: for chunk in bytes.chunks(usize::from(*first) + 1) {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Frame::Data { id, data: piece, .. })) => {
                    assert_ne!(id, 0, "data of stream 0");
                    data += piece.len();
                }
                Ok(Some(frame)) => seen.push(frame),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    assert!(data <= bytes.len(), "more data than came");
    same_again(&seen);
}

/// What was understood is understood in the same way after encoding it.
fn same_again(frames: &[Frame]) {
    let mut bytes = BytesMut::new();
    let mut encoder = Encoder::default();
    let fits = |frame: &&Frame| match frame {
        // A block that inflates to just below the limit may not fit with other compression.
        Frame::SynStream { headers, .. } | Frame::SynReply { headers, .. } | Frame::Headers { headers, .. } => {
            headers.0.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() < 16 << 10
        }
        _ => true,
    };
    let frames: Vec<&Frame> = frames.iter().filter(fits).collect();
    frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
    let mut decoder = Decoder::default();
    for frame in frames {
        assert_eq!(decoder.decode(&mut bytes), Ok(Some(frame.clone())));
    }
    assert!(bytes.is_empty());
}
