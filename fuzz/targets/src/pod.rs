//! The pod protocol: what a guest sends to the shim, and what lies in a pod's exit records.

use cofferdam_pod_api::{
    Decoder, FrameError, MAGIC, MAX_FRAME, MAX_GUEST_CONTROL, SLOT, encode, read_slots, sync_after_magic,
};

/// Frames, cut into pieces as the first byte says, by the limit of a guest's control port or of a trusted peer.
pub fn frames(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let (size, max) = (usize::from(first >> 1) + 1, if first & 1 == 0 { MAX_GUEST_CONTROL } else { MAX_FRAME });
    let mut decoder = Decoder::new(max);
    let mut taken = 0;
    'stream: for chunk in bytes.chunks(size) {
        decoder.push(chunk);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    let mut again = Vec::new();
                    encode(&frame, &mut again);
                    let mut second = Decoder::new(MAX_FRAME + 4);
                    second.push(&again);
                    assert_eq!(second.next_frame(), Ok(Some(frame)), "what was decoded does not survive encoding");
                    taken += 4;
                    assert!(taken <= bytes.len(), "more frames than bytes");
                }
                Ok(None) => break,
                Err(FrameError::TooLong { length, max: allowed }) => {
                    assert!(length > max && allowed == max);
                    break 'stream;
                }
                Err(FrameError::Malformed(_)) => break 'stream,
            }
        }
    }
    hello(bytes, size);
}

/// A connection's first frame is found behind whatever comes before the magic.
fn hello(rubbish: &[u8], size: usize) {
    let mut bytes = rubbish.to_vec();
    if bytes.windows(MAGIC.len()).any(|window| window == MAGIC) {
        return;
    }
    bytes.extend(cofferdam_pod_api::opening(7));
    // Rubbish that ends like the magic begins may swallow it only if the two overlap, which a whole magic never does.
    let mut decoder = Decoder::new(MAX_FRAME);
    let mut synced = false;
    let mut found = None;
    for chunk in bytes.chunks(size) {
        decoder.push(chunk);
        match sync_after_magic(&mut decoder, &mut synced) {
            Ok(frame) => found = found.or(frame),
            Err(error) => panic!("a hello behind rubbish: {error}"),
        }
    }
    assert!(found.is_some(), "the hello behind {} bytes of rubbish was lost", rubbish.len());
}

/// The file of exit records, as a crash or a full disk may leave it.
pub fn exit_records(input: &[u8]) {
    let records = read_slots(input);
    let slots = input.len().div_ceil(SLOT);
    assert!(records.exits.len() <= slots && records.cgroups.len() <= slots);
}
