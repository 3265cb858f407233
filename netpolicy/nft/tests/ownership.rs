//! The table outlives its daemon and belongs to nobody else. A program of its own (no harness): it also plays the
//! daemon and the holder.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cofferdam_netpolicy::backend::{BackendError, RuleBackend as _};
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy_nft::{HolderCommand, NftBackend, holder_main};
use cofferdam_test_support::{Netns, eventually, gate, wait_gone};
use support::{Net, Probes as _, netns, no_udp_80};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("holder") => holder_main().unwrap(),
        Some("daemon") => daemon(Path::new(&args[2])),
        _ => gate::forking_main(&[CASES]),
    }
}

const CASES: &[gate::Case] = &[
    ("after_kill_9_a_flush_opens_nothing_and_the_next_daemon_takes_over", kill_and_flush),
    ("a_table_of_somebody_else_is_an_error_at_start", foreign),
    ("an_orphaned_table_is_adopted_with_its_content", orphan),
    ("a_dead_holder_is_replaced", holder_dies),
    ("shutdown_leaves_no_table_and_no_holder", shutdown),
];

fn command(state: &Path) -> HolderCommand {
    HolderCommand { program: std::env::current_exe().unwrap(), args: vec!["holder".into()], state: state.to_owned() }
}

/// Takes the table, programs it if it is not, says so, and runs each order it reads: `pid`, `end`.
fn daemon(state: &Path) {
    let backend = match NftBackend::open("t", Some(command(state))) {
        Ok(backend) => backend,
        Err(error) => return println!("error {error}"),
    };
    let batch = diff(&backend.read().unwrap(), &no_udp_80());
    backend.apply(&batch).unwrap();
    println!("ready {}", batch.ops.len());
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "pid" => println!("{}", backend.holder_pid().unwrap_or(0)),
            "end" => return backend.shutdown().unwrap(),
            other => panic!("{other}"),
        }
    }
}

struct Daemon {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Daemon {
    fn start(ns: &Netns, state: &Path) -> (Self, String) {
        let state = state.to_owned();
        let mut child = ns.run(move || {
            Command::new(std::env::current_exe().unwrap())
                .arg("daemon")
                .arg(state)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        });
        let mut daemon = Daemon { out: BufReader::new(child.stdout.take().unwrap()), child };
        let line = daemon.line();
        (daemon, line)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
        self.line()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn kill_and_flush() {
    let (net, state) = (Net::new(), tempfile::tempdir().unwrap());
    assert!(net.a.udp("10.2.0.2:80"));
    let (mut first, said) = Daemon::start(&net.router, state.path());
    assert_eq!(said, "ready 3");
    let holder = first.order("pid");
    assert!(!net.a.udp("10.2.0.2:80") && net.a.udp("10.2.0.2:81"));
    first.kill();
    let _ = net.router.run(|| Command::new("nft").args(["flush", "ruleset"]).output().unwrap());
    assert!(net.router.told("nft", "list tables").contains("inet t"), "flushed");
    assert!(!net.a.udp("10.2.0.2:80") && net.a.udp("10.2.0.2:81"), "open after the flush");
    let (mut second, said) = Daemon::start(&net.router, state.path());
    assert_eq!((said.as_str(), second.order("pid")), ("ready 0", holder));
    second.order("end");
    assert!(second.child.wait().unwrap().success());
}

fn foreign() {
    let (ns, state) = (netns(), tempfile::tempdir().unwrap());
    let (mut owner, _) = Daemon::start(&ns, state.path());
    let error = ns.run(|| NftBackend::open("t", None).err().unwrap());
    assert!(matches!(error, BackendError::Foreign { .. }), "{error}");
    owner.order("end");
    owner.child.wait().unwrap();
}

fn orphan() {
    let ns = netns();
    ns.run(|| {
        let first = NftBackend::open("t", None).unwrap();
        first.apply(&diff(&first.read().unwrap(), &no_udp_80())).unwrap();
        drop(first);
        let second = NftBackend::open("t", None).unwrap();
        assert!(diff(&second.read().unwrap(), &no_udp_80()).is_empty(), "the content was lost");
        assert!(matches!(NftBackend::open("t", None), Err(BackendError::Foreign { .. })), "it was not adopted");
        drop(second);
    });
    // One that another program made is replaced, not believed.
    ns.told("nft", "delete table inet t");
    ns.told("nft", "add table inet t");
    ns.told("nft", "add chain inet t mine");
    ns.run(|| {
        let backend = NftBackend::open("t", None).unwrap();
        backend.apply(&diff(&backend.read().unwrap(), &no_udp_80())).unwrap();
        assert_eq!(backend.read().unwrap(), no_udp_80().snapshot());
    });
}

fn holder_dies() {
    let (ns, state) = (netns(), tempfile::tempdir().unwrap());
    let (mut daemon, _) = Daemon::start(&ns, state.path());
    let before: u32 = daemon.order("pid").parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut after = 0;
    eventually("a new holder", || {
        after = daemon.order("pid").parse().unwrap();
        after != 0 && after != before
    })
    .unwrap();
    daemon.kill();
    let (mut next, said) = Daemon::start(&ns, state.path());
    assert_eq!((said.as_str(), next.order("pid").parse().unwrap()), ("ready 0", after));
    next.order("end");
    next.child.wait().unwrap();
    wait_gone(after).unwrap();
}

fn shutdown() {
    let (ns, state) = (netns(), tempfile::tempdir().unwrap());
    let (mut daemon, _) = Daemon::start(&ns, state.path());
    let holder: u32 = daemon.order("pid").parse().unwrap();
    daemon.order("end");
    assert!(daemon.child.wait().unwrap().success());
    wait_gone(holder).unwrap();
    assert_eq!(ns.told("nft", "list tables"), "");
}
