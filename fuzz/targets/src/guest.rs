//! What a hostile guest sends to the shim of its pod, after it has come up properly and runs one container.
//!
//! The shim's real server runs on a thread; this plays the daemon and the guest. Needs root, since the shim serves no
//! other user.

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_pod_api::{
    Body, Boot, BootConfig, BootedProcesses, ContainerRootfs, ContainerSpec, Create, Decoder, GuestSetup, MAX_FRAME,
    NamespaceMode, Op, Outcome, PodError, Request, Response, Start, Status, Stdio, answer, encode, opening,
    sync_after_magic,
};
use cofferdam_supervisor::{BootedMachine, End, ExitRecords, Machine, Relay, serve_vm};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Far more than any step takes; past it the shim hangs, which is what this looks for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes for the two ports: the first byte says how much of the rest goes to the control port, in 256ths.
pub fn messages(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let (control, data) = bytes.split_at(bytes.len() * usize::from(*first) / 256);
    let dir = tempfile::tempdir().expect("a directory");
    let mut bed = Bed::start(dir.path()).expect("a well-behaved guest comes up");
    let before = size(&dir.path().join("log"));
    bed.guest[0].write(control);
    bed.guest[1].write(data);
    let end = bed.hang_up();
    assert!(matches!(end, End::Gone(_)), "a guest that is gone ends its shim, not {end:?}");
    // A line costs its time stamp, and there is one at most for each byte.
    let logged = size(&dir.path().join("log")) - before;
    assert!(logged <= 64 * (bytes.len() as u64 + 1), "{logged} bytes of log from {}", bytes.len());
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.len())
}

/// A valid conversation of a guest, for the seeds.
pub(crate) fn answer_of_status(id: u64) -> Body {
    let status = Status { id: "c".into(), pid: 7, ..Default::default() };
    Body::Response(Response { id, outcome: Some(Outcome::Status(status)) })
}

struct Bed {
    daemon: Peer,
    guest: [Peer; 2],
    end: Receiver<End>,
}

impl Bed {
    fn start(dir: &Path) -> Result<Bed> {
        let socket = dir.join("socket");
        let listener = UnixListener::bind(&socket)?;
        let ((control, guest_control), (data, guest_data)) = (UnixStream::pair()?, UnixStream::pair()?);
        let machine = Box::new(FakeMachine(Some((control, data))));
        let exits = ExitRecords::create(dir)?;
        let (send, end) = channel();
        std::thread::spawn(move || {
            // Nobody listens any more when the test has failed already.
            let _ = send.send(serve_vm(listener.into(), Relay::new(machine, exits)));
        });
        let daemon = Peer::new(UnixStream::connect(&socket)?)?;
        let mut bed = Bed { daemon, guest: [Peer::new(guest_control)?, Peer::new(guest_data)?], end };
        bed.boot()?;
        bed.run_container(dir)?;
        Ok(bed)
    }

    fn boot(&mut self) -> Result<()> {
        self.daemon.write(&opening(5));
        ensure!(matches!(self.daemon.receive()?, Body::HelloReply(_)), "no answer to the hello");
        self.ask(1, Op::Boot(Boot::new(&boot_config())?), None)?;
        for port in &mut self.guest {
            port.greet()?;
        }
        let setup = loop {
            match self.guest[0].receive()? {
                Body::Request(request) => break request.id,
                // The two ports had answered different hellos.
                Body::Hello(hello) => self.guest[0].write(&answer(&hello, "fuzz", None).bytes),
                other => bail!("{other:?} instead of the set-up"),
            }
        };
        let done = Outcome::Empty(Default::default());
        self.guest[0].send(&Body::Response(Response { id: setup, outcome: Some(done) }));
        self.answered(1)
    }

    fn run_container(&mut self, dir: &Path) -> Result<()> {
        let log = File::options().append(true).create(true).open(dir.join("log"))?;
        self.ask(2, Op::Create(Create::new(&container()?, true)?), Some(log.into()))?;
        self.guest_answers()?;
        self.answered(2)?;
        self.ask(3, Op::Start(Start { container: "c".into() }), None)?;
        self.guest_answers()?;
        self.answered(3)
    }

    fn ask(&mut self, id: u64, op: Op, fd: Option<OwnedFd>) -> Result<()> {
        let fds = u32::from(fd.is_some());
        let mut bytes = Vec::new();
        encode(&Body::Request(Request { id, fds, op: Some(op) }).into(), &mut bytes);
        let Some(fd) = fd else {
            self.daemon.write(&bytes);
            return Ok(());
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.as_fd()];
        ensure!(control.push(SendAncillaryMessage::ScmRights(&fds)), "no room for a descriptor");
        let sent = sendmsg(&self.daemon.stream, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty())?;
        ensure!(sent == bytes.len(), "a request was cut");
        Ok(())
    }

    fn guest_answers(&mut self) -> Result<()> {
        let Body::Request(request) = self.guest[0].receive()? else { bail!("no request for the guest") };
        self.guest[0].send(&answer_of_status(request.id));
        Ok(())
    }

    fn answered(&mut self, id: u64) -> Result<()> {
        loop {
            if let Body::Response(response) = self.daemon.receive()?
                && response.id == id
            {
                return match response.outcome {
                    Some(Outcome::Error(error)) => bail!("request {id}: {error:?}"),
                    _ => Ok(()),
                };
            }
        }
    }

    /// The guest is gone; how its shim ends.
    fn hang_up(self) -> End {
        drop(self.guest);
        let end = self.end.recv_timeout(PATIENCE);
        end.unwrap_or_else(|error| panic!("the shim has not ended: {error}"))
    }
}

/// One end of a connection.
struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    synced: bool,
}

impl Peer {
    fn new(stream: UnixStream) -> Result<Peer> {
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Peer { stream, decoder: Decoder::new(MAX_FRAME), synced: false })
    }

    fn write(&mut self, bytes: &[u8]) {
        // The shim may have had enough already.
        let _ = self.stream.write_all(bytes);
    }

    fn send(&mut self, body: &Body) {
        let mut bytes = Vec::new();
        encode(&body.clone().into(), &mut bytes);
        self.write(&bytes);
    }

    fn greet(&mut self) -> Result<()> {
        let Body::Hello(hello) = self.receive()? else { bail!("no hello for the guest") };
        self.write(&answer(&hello, "fuzz", None).bytes);
        Ok(())
    }

    fn receive(&mut self) -> Result<Body> {
        loop {
            let frame = match self.synced {
                true => self.decoder.next_frame(),
                false => sync_after_magic(&mut self.decoder, &mut self.synced),
            };
            if let Some(frame) = frame? {
                return frame.body.context("an empty frame");
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer)? {
                0 => bail!("the connection is over"),
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }
}

struct FakeMachine(Option<(UnixStream, UnixStream)>);

impl Machine for FakeMachine {
    fn boot(&mut self, config: BootConfig, _fds: Vec<OwnedFd>) -> Result<BootedMachine, PodError> {
        let (control, data) = self.0.take().expect("booted once");
        Ok(BootedMachine {
            control: control.into(),
            data: data.into(),
            watched: Vec::new(),
            setup: config.setup,
            processes: BootedProcesses { vmm: 71, file_server: 72 },
        })
    }

    fn kill(&mut self) {}
}

fn boot_config() -> BootConfig {
    let setup = GuestSetup {
        id: "pod".into(),
        hostname: "guest".into(),
        pid: NamespaceMode::Container,
        sysctls: Default::default(),
        shm_size: 1 << 20,
        link: None,
        powered_on: 1,
        seed: vec![7; 64],
        init_seccomp: Vec::new(),
    };
    BootConfig {
        vmm: "/vmm".into(),
        file_server: "/file-server".into(),
        kernel: "/kernel".into(),
        initramfs: "/initramfs".into(),
        hardware: false,
        cpus: 1,
        memory: 64 << 20,
        uid: 1000,
        share: "/share".into(),
        mac: None,
        vmm_cgroup: "/pod/vmm".into(),
        file_server_cgroup: "/pod/file-server".into(),
        setup,
    }
}

fn container() -> Result<ContainerSpec> {
    Ok(ContainerSpec {
        id: "c".into(),
        name: "c".into(),
        oci: serde_json::from_value(serde_json::json!({ "ociVersion": "1.2.0" }))?,
        rootfs: ContainerRootfs { lower: Vec::new(), upper: "/upper".into(), work: "/work".into() },
        seccomp: Vec::new(),
        stdio: Stdio::default(),
        pid_target: None,
        extensions: Default::default(),
    })
}
