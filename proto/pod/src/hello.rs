//! How a connection starts.

use crate::{Body, Decoder, Frame, FrameError, Hello, HelloReply, encode};

/// Comes before the first frame of each direction. No frame starts like this: as a length it is over every limit.
pub const MAGIC: [u8; 16] = *b"\xffCofferdam\xff\x00pod\n";

/// Oldest and newest version that this code speaks.
pub const VERSIONS: (u32, u32) = (1, 1);

/// What a requester sends first, on each of its ports.
pub fn opening(epoch: u64) -> Vec<u8> {
    let hello = Hello { oldest: VERSIONS.0, newest: VERSIONS.1, epoch };
    let mut bytes = MAGIC.to_vec();
    encode(&Body::Hello(hello).into(), &mut bytes);
    bytes
}

/// The answer to a hello: the newest common version, or the reason why there is none.
pub fn answer(hello: &Hello, server: &str, broken: Option<&str>) -> Negotiation {
    let (oldest, newest) = VERSIONS;
    let version = hello.newest.min(newest);
    let error = match broken {
        Some(reason) => reason.to_owned(),
        None if version < hello.oldest.max(oldest) => {
            format!(
                "no common version: {server} speaks {oldest} to {newest}, the peer {} to {}",
                hello.oldest, hello.newest
            )
        }
        None => String::new(),
    };
    let accepted = error.is_empty();
    let version = if accepted { version } else { 0 };
    let reply = HelloReply { version, epoch: hello.epoch, error, server: server.to_owned() };
    let mut bytes = MAGIC.to_vec();
    encode(&Body::HelloReply(reply).into(), &mut bytes);
    Negotiation { bytes, accepted }
}

/// A server's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiation {
    /// To be sent.
    pub bytes: Vec<u8>,
    /// Whether requests may follow.
    pub accepted: bool,
}

/// The first frame behind [`MAGIC`], with all rubbish before it dropped; `None` until more bytes come.
/// `synced` is the caller's memory of whether the magic was seen.
pub fn sync_after_magic(decoder: &mut Decoder, synced: &mut bool) -> Result<Option<Frame>, FrameError> {
    if !*synced {
        *synced = decoder.skip_past(&MAGIC);
    }
    if *synced { decoder.next_frame() } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_FRAME;

    fn reply(hello: &Hello) -> HelloReply {
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&answer(hello, "test", None).bytes);
        match sync_after_magic(&mut decoder, &mut false).unwrap().unwrap().body {
            Some(Body::HelloReply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        let newer = Hello { oldest: 1, newest: 9, epoch: 5 };
        assert_eq!((reply(&newer).version, reply(&newer).epoch), (1, 5));
        let foreign = reply(&Hello { oldest: 8, newest: 9, epoch: 5 });
        assert!(foreign.version == 0 && foreign.error.contains("no common version"));
    }

    #[test]
    fn a_partial_frame_before_a_new_hello_is_dropped() {
        let mut stale = Vec::new();
        encode(&Body::LogAck(crate::LogAck { sequence: 1 }).into(), &mut stale);
        stale.pop();
        stale.extend(opening(77));
        let mut decoder = Decoder::new(MAX_FRAME);
        decoder.push(&stale);
        let frame = sync_after_magic(&mut decoder, &mut false).unwrap().unwrap();
        assert!(matches!(frame.body, Some(Body::Hello(Hello { epoch: 77, .. }))));
    }

    #[test]
    fn the_magic_can_never_be_taken_for_a_frame() {
        let length = u32::from_le_bytes(*MAGIC.first_chunk().unwrap()) as usize;
        assert!(length > MAX_FRAME);
    }
}
