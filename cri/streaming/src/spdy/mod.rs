//! SPDY/3.1, as much of it as Kubernetes' streaming uses: streams that the client opens, over an upgraded connection.
//!
//! [`Decoder`] and [`Encoder`] turn bytes into [`Frame`]s and back, without I/O; the session drives them.
//! Source: the SPDY protocol, draft 3.1. What differs in real peers (moby/spdystream) is said where it matters:
//! they send no WINDOW_UPDATE, no pseudo headers, and DATA frames of any size.

mod codes;
mod compress;
mod decode;
mod dictionary;
mod encode;
mod error;
mod frame;
mod headers;
mod inbound;
mod outbound;
mod queue;
mod session;
mod shared;
mod window;

pub use codes::{goaway, reset};
pub use decode::Decoder;
pub use encode::Encoder;
pub use error::DecodeError;
pub use frame::Frame;
pub use headers::Headers;
pub(crate) use inbound::StreamRead;
pub(crate) use outbound::{StreamWrite, open_write};
pub(crate) use session::{Incoming, Session};
