//! What HTTP/2 clients of the socket may name as its authority: anything.
//!
//! gRPC's C core (Python, C++, Ruby, PHP) sends the percent-encoded path of the socket as `:authority`, other clients
//! the plain path. gRPC's servers do not look at it, since a socket has no name of its own. The library that serves us
//! takes the authorities of URIs only and answers anything else with PROTOCOL_ERROR, before our code sees the request.
//!
//! So a connection is read through a filter that changes such characters of an `:authority` to a `-`, in place: the
//! length stays, so frames, field blocks and both sides' tables of fields stay as they are, and nothing is decoded,
//! buffered or sent in another form. Fields of any other name are not touched.

mod fields;
mod frames;
mod stream;

pub use stream::AnyAuthority;
