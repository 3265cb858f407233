//! The codec against any bytes: no panic, bounded memory, and what is written is read back.

use bytes::{Bytes, BytesMut};
use cofferdam_streaming::spdy::{DecodeError, Decoder, Encoder, Frame, Headers};
use proptest::prelude::*;

fn headers() -> impl Strategy<Value = Headers> {
    prop::collection::vec(("[a-z-]{1,20}", "[ -~]{0,300}"), 0..20).prop_map(Headers)
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = 1..=0x7fff_ffff_u32;
    prop_oneof![
        (id.clone(), any::<bool>(), any::<bool>(), headers())
            .prop_map(|(id, fin, unidirectional, headers)| Frame::SynStream { id, fin, unidirectional, headers }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply { id, fin, headers }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers { id, fin, headers }),
        (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::RstStream { id, status }),
        (0..=0x7fff_ffff_u32, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (0..=0x7fff_ffff_u32, 0..=0x7fff_ffff_u32).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        any::<u32>().prop_map(Frame::Ping),
        prop::collection::vec((0..1_u32 << 24, any::<u32>()), 0..9).prop_map(Frame::Settings),
        (id, any::<bool>(), prop::collection::vec(any::<u8>(), 0..2000)).prop_map(|(id, fin, data)| Frame::Data {
            id,
            fin,
            data: data.into()
        }),
    ]
}

fn encoded(frames: &[Frame]) -> BytesMut {
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    frames.iter().for_each(|f| encoder.encode(f, &mut bytes));
    bytes
}

/// Feeds bytes in pieces; pieces of one DATA frame are joined again.
fn decoded(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, DecodeError> {
    let (mut decoder, mut input, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    let mut left = 0;
    for part in bytes.chunks(piece) {
        input.extend_from_slice(part);
        while let Some(frame) = decoder.decode(&mut input)? {
            frames.push(frame);
        }
        left = left.max(input.len());
    }
    // A control frame is waited for whole, and nothing else is kept.
    assert!(left <= 8 + 64 * 1024, "{left} bytes are waiting");
    Ok(frames)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(frames in prop::collection::vec(frame(), 0..12)) {
        let bytes = encoded(&frames);
        prop_assert_eq!(decoded(&bytes, bytes.len().max(1)).unwrap(), frames);
    }

    #[test]
    fn pieces_of_any_size_carry_the_same(frames in prop::collection::vec(frame(), 1..6), piece in 1..50_usize) {
        let bytes = encoded(&frames);
        let data = |frames: &[Frame]| frames.iter().flat_map(|f| match f {
            Frame::Data { data, .. } => data.to_vec(),
            _ => Vec::new(),
        }).collect::<Vec<u8>>();
        let is_control = |f: &&Frame| !matches!(f, Frame::Data { .. });
        let control = |frames: &[Frame]| frames.iter().filter(is_control).cloned().collect::<Vec<_>>();
        let fins = |frames: &[Frame]| frames.iter().filter(|f| matches!(f, Frame::Data { fin: true, .. })).count();
        let read = decoded(&bytes, piece).unwrap();
        prop_assert_eq!(data(&read), data(&frames));
        prop_assert_eq!(control(&read), control(&frames));
        prop_assert_eq!(fins(&read), fins(&frames));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..4000), piece in 1..500_usize) {
        let _ = decoded(&bytes, piece);
    }

    #[test]
    fn a_damaged_byte_never_panics(
        frames in prop::collection::vec(frame(), 1..6),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = encoded(&frames);
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = decoded(&bytes, 64);
    }

    #[test]
    fn a_frame_cut_short_gives_nothing_and_no_error(frame in frame(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(std::slice::from_ref(&frame));
        let read = decoded(&bytes[..cut.index(bytes.len())], 4096).unwrap();
        let whole = read.iter().all(|f| matches!(f, Frame::Data { fin: false, .. }));
        prop_assert!(whole, "{:?}", read);
    }
}

#[test]
fn a_header_bomb_is_refused() {
    let value = "a".repeat(1 << 20);
    let frame =
        Frame::SynStream { id: 1, fin: false, unidirectional: false, headers: Headers(vec![("x".into(), value)]) };
    let bytes = encoded(&[frame]);
    assert!(bytes.len() < 16 * 1024, "it compresses well: {}", bytes.len());
    assert!(matches!(decoded(&bytes, bytes.len()), Err(DecodeError::Headers(_))));
}

#[test]
fn frames_of_other_versions_and_sizes_are_refused_and_unknown_types_passed_over() {
    let decode = |bytes: &[u8]| Decoder::default().decode(&mut BytesMut::from(bytes));
    assert_eq!(decode(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]), Err(DecodeError::Version(2)));
    assert_eq!(decode(&[0x80, 3, 0, 1, 0, 1, 0, 1]), Err(DecodeError::Oversize(65537)));
    assert_eq!(decode(&[0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 1, 0]), Err(DecodeError::Length { kind: 6, length: 5 }));
    assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 0, 0]), Err(DecodeError::StreamZero));
    let credential = [0x80, 3, 0, 10, 0, 0, 0, 2, 7, 7, 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9];
    assert_eq!(decode(&credential), Ok(Some(Frame::Ping(9))));
    assert_eq!(Frame::Data { id: 1, fin: true, data: Bytes::new() }, decoded(&[0, 0, 0, 1, 1, 0, 0, 0], 8).unwrap()[0]);
}
