//! A shim's server on a thread of its own, with the test at both of its ends.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use cofferdam_pod_api::{
    Body, Boot, BootConfig, BootedProcesses, ContainerRootfs, ContainerSpec, ContainerState, ContainerStatus, Create,
    GuestSetup, NamespaceMode, Op, Outcome, Patience, PodError, Request, Response, Status, Stdio, answer, event,
    opening, status_to,
};
use cofferdam_supervisor::{BootedMachine, End, ExitRecords, Machine, Relay, serve_vm};

use crate::peer::{Peer, pair, request};

pub fn status(id: &str, pid: u32) -> Status {
    let state = ContainerState::Created;
    status_to(&ContainerStatus { id: id.into(), state, pid, started_at: None, exit: None })
}

const PROCESSES: BootedProcesses = BootedProcesses { vmm: 71, file_server: 72 };

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
        file_server: "/fs".into(),
        kernel: "/kernel".into(),
        initramfs: "/initramfs".into(),
        hardware: false,
        cpus: 1,
        memory: 64 << 20,
        uid: 1000,
        share: "/share".into(),
        mac: None,
        vmm_cgroup: "/pod/vmm".into(),
        file_server_cgroup: "/pod/fs".into(),
        setup,
    }
}

struct FakeMachine {
    ports: Mutex<Option<(UnixStream, UnixStream)>>,
    killed: Arc<AtomicBool>,
}

impl Machine for FakeMachine {
    fn boot(&mut self, config: BootConfig, _fds: Vec<OwnedFd>) -> Result<BootedMachine, PodError> {
        assert_eq!(config, boot_config());
        let (control, data) = self.ports.lock().unwrap().take().unwrap();
        let (setup, processes) = (config.setup, PROCESSES);
        Ok(BootedMachine { control: control.into(), data: data.into(), watched: Vec::new(), setup, processes })
    }

    fn kill(&mut self) {
        self.killed.store(true, Ordering::SeqCst);
    }
}

pub struct Bed {
    pub dir: tempfile::TempDir,
    pub daemon: Peer,
    /// The guest's control and data port.
    pub guest: [Peer; 2],
    server: Option<JoinHandle<End>>,
    killed: Arc<AtomicBool>,
    later: Vec<Body>,
}

impl Bed {
    /// A VM whose guest is set up; it misses so many hellos.
    pub fn booted(missed: [usize; 2]) -> Bed {
        Bed::booted_with(missed, Patience::default())
    }

    /// With these limits of time.
    pub fn booted_with(missed: [usize; 2], patience: Patience) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let ((control, guest_control), (data, guest_data)) = (pair(), pair());
        let killed = Arc::new(AtomicBool::new(false));
        let machine = FakeMachine { ports: Mutex::new(Some((control, data))), killed: killed.clone() };
        let records = dir.path().to_owned();
        let server = std::thread::spawn(move || {
            let exits = ExitRecords::create(&records).unwrap();
            serve_vm(listener.into(), Relay::with_patience(Box::new(machine), exits, patience))
        });
        let mut daemon = Peer::new(UnixStream::connect(&path).unwrap());
        daemon.raw(&opening(5));
        assert!(matches!(daemon.receive(), Body::HelloReply(reply) if reply.epoch == 5 && reply.error.is_empty()));
        daemon.send(&request(1, Op::Boot(Boot::new(&boot_config()).unwrap())));
        let guest = [Peer::new(guest_control), Peer::new(guest_data)];
        let mut bed = Bed { dir, daemon, guest, server: Some(server), killed, later: Vec::new() };
        for (port, missed) in bed.guest.iter_mut().zip(missed) {
            for _ in 0..missed {
                port.hello();
            }
            let hello = port.hello();
            port.raw(&answer(&hello, "test", None).bytes);
        }
        // A port that came up before the other has more hellos to answer.
        for (port, others) in
            bed.guest.iter_mut().zip([missed[1].saturating_sub(missed[0]), missed[0].saturating_sub(missed[1])])
        {
            for _ in 0..others {
                let hello = port.hello();
                port.raw(&answer(&hello, "test", None).bytes);
            }
        }
        // The two ports may have answered different hellos: then another one comes.
        let asked = loop {
            match bed.guest[0].try_receive().unwrap() {
                Body::Request(request) => break request,
                Body::Hello(hello) => bed.guest[0].raw(&answer(&hello, "test", None).bytes),
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(&asked.op, Some(Op::Setup(setup)) if setup.content().unwrap() == boot_config().setup));
        bed.guest[0]
            .send(&Body::Response(Response { id: asked.id, outcome: Some(Outcome::Empty(Default::default())) }));
        assert!(matches!(bed.answer(1), Outcome::Booted(booted) if booted.content().unwrap() == PROCESSES));
        bed
    }

    /// Creates a container whose log is DIR/log.
    pub fn create(&mut self, id: &str) {
        self.ask_create(id);
        let asked = self.guest_answers(Outcome::Status(status(id, 7)));
        assert!(matches!(asked, Op::Create(create) if !create.log), "the guest gets no log");
        assert!(matches!(self.answer(40), Outcome::Status(_)));
    }

    /// Asks for it, as request 40.
    pub fn ask_create(&mut self, id: &str) {
        let oci = serde_json::from_value(serde_json::json!({ "ociVersion": "1.2.0" })).unwrap();
        let spec = ContainerSpec {
            id: id.into(),
            name: id.into(),
            oci,
            rootfs: ContainerRootfs { lower: Vec::new(), upper: "/u".into(), work: "/w".into() },
            seccomp: Vec::new(),
            stdio: Stdio::default(),
            pid_target: None,
            extensions: Default::default(),
        };
        let log = File::options().append(true).create(true).open(self.dir.path().join("log")).unwrap();
        let op = Op::Create(Create::new(&spec, true).unwrap());
        self.daemon.send_fd(&Body::Request(Request { id: 40, fds: 1, op: Some(op) }), &log.into());
    }

    /// The guest answers the next request; what it was asked.
    pub fn guest_answers(&mut self, outcome: Outcome) -> Op {
        match self.guest[0].receive() {
            Body::Request(request) => {
                self.guest[0].send(&Body::Response(Response { id: request.id, outcome: Some(outcome) }));
                request.op.unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The answer to a request of the daemon; what comes before it is kept.
    pub fn answer(&mut self, id: u64) -> Outcome {
        loop {
            match self.daemon.receive() {
                Body::Response(response) if response.id == id => return response.outcome.unwrap(),
                other => self.later.push(other),
            }
        }
    }

    /// The next event.
    pub fn event(&mut self) -> event::Kind {
        let kept = self.later.iter().position(|body| matches!(body, Body::Event(_)));
        let mut next = kept.map(|at| self.later.remove(at));
        loop {
            match next.take().unwrap_or_else(|| self.daemon.receive()) {
                Body::Event(event) => return event.kind.unwrap(),
                other => assert!(!matches!(other, Body::HelloReply(_))),
            }
        }
    }

    pub fn end(&mut self) -> End {
        self.server.take().unwrap().join().unwrap()
    }

    pub fn killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    pub fn assert_killed_for(mut self, what: &str, reason: &str) {
        let told = loop {
            match self.event() {
                event::Kind::Gone(gone) => break gone.reason,
                event::Kind::Exited(_) => {}
            }
        };
        assert!(told.contains(reason), "{what}: {told}");
        assert_eq!(self.end(), End::Gone(told.clone()), "{what}");
        assert!(self.killed(), "{what}");
        let records = cofferdam_pod_api::read_slots(&std::fs::read(self.dir.path().join("exits")).unwrap());
        assert!(records.gone.is_some(), "{what}: the last word is recorded");
    }
}
