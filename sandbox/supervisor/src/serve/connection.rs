//! One requester's connection.

use cofferdam_pod_api::{Body, Hello, Port, answer};

use super::port::PortIo;

/// Name and version in the hello.
pub(crate) const SERVER: &str = concat!("cofferdam ", env!("CARGO_PKG_VERSION"));

/// A connection over one port (everything) or two (control, data).
pub(crate) struct Connection {
    pub(crate) ports: Vec<PortIo>,
    /// Which ports have had their hello.
    greeted: Vec<bool>,
    /// Has frames or bytes to be written.
    pub(crate) dirty: bool,
}

impl Connection {
    /// A connection that waits for its hello.
    pub(crate) fn new(ports: Vec<PortIo>) -> Self {
        let greeted = vec![false; ports.len()];
        Connection { ports, greeted, dirty: false }
    }

    /// All hellos were exchanged.
    pub(crate) fn is_ready(&self) -> bool {
        self.greeted.iter().all(|greeted| *greeted)
    }

    /// This port had its hello.
    pub(crate) fn is_greeted(&self, port: usize) -> bool {
        self.greeted[port]
    }

    /// Answers a hello. `false`: the connection ends after the answer.
    pub(crate) fn greet(&mut self, port: usize, hello: &Hello, broken: Option<&str>) -> bool {
        let negotiation = answer(hello, SERVER, broken);
        self.ports[port].queue(&negotiation.bytes);
        self.greeted[port] = negotiation.accepted;
        self.dirty = true;
        negotiation.accepted
    }

    /// Queues a frame on its port.
    pub(crate) fn queue(&mut self, body: Body) {
        let port = match body.port() {
            Port::Data if self.ports.len() > 1 => 1,
            _ => 0,
        };
        if self.greeted[port] {
            self.ports[port].queue_frame(&body.into());
            self.dirty = true;
        }
    }

    /// The peer may be another one, whose hello is somewhere in what comes on this port. The others notice by
    /// themselves: this peer's hello may be answered there already.
    pub(crate) fn desync(&mut self, port: usize) {
        self.greeted[port] = false;
        self.ports[port].desync();
    }

    /// Starts over: the peer is another one.
    pub(crate) fn reset(&mut self) {
        self.greeted.fill(false);
        self.ports.iter_mut().for_each(PortIo::reset);
    }
}
