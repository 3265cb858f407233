//! The shim of a VM between a daemon and a guest, both played by the test: what a guest does right, and what it is
//! killed for.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "relay/bed.rs"]
mod bed;
#[path = "relay/mute.rs"]
mod mute;
#[path = "relay/peer.rs"]
mod peer;

use bed::{Bed, status};
use cofferdam_pod_api::{
    Body, Exec, ExitReport, Log, Op, Outcome, Patience, Response, STDERR, STDOUT, Start, Stop, StreamCredit,
    StreamData, WINDOW, event, read_slots,
};
use cofferdam_supervisor::End;
use cofferdam_test_support::needs;
use peer::{Peer, data, pair, request};

fn log(sequence: u64, container: &str, text: &str) -> Body {
    let (container, data) = (container.into(), text.as_bytes().to_vec());
    Body::Log(Log { sequence, container, channel: STDOUT, data, eof: false })
}

fn exit(sequence: u64, container: &str, code: i32) -> Body {
    Body::ExitReport(ExitReport { sequence, container: container.into(), code, oom: false })
}

/// A sandbox with one running container.
fn running() -> Bed {
    running_with(Patience::default())
}

fn running_with(patience: Patience) -> Bed {
    let mut bed = Bed::booted_with([0; 2], patience);
    bed.create("c");
    bed.daemon.send(&request(50, Op::Start(Start { container: "c".into() })));
    bed.guest_answers(Outcome::Status(status("c", 7)));
    assert!(matches!(bed.answer(50), Outcome::Status(status) if status.pid == 7));
    bed
}

#[needs(root)]
#[test]
fn logs_and_exits_are_written_here_before_they_are_acknowledged() {
    let mut bed = running();
    bed.guest[1].send(&log(1, "c", "hello\nwor"));
    bed.guest[1].send(&log(2, "c", "ld\n"));
    bed.guest[1].send(&exit(3, "c", 7));
    let event = bed.event();
    assert!(matches!(event, event::Kind::Exited(exit) if exit.container == "c" && exit.code == 7));
    while !matches!(bed.guest[1].receive(), Body::LogAck(ack) if ack.sequence == 3) {}
    let log = std::fs::read_to_string(bed.dir.path().join("log")).unwrap();
    assert!(log.contains("stdout F hello\n") && log.contains("stdout F world\n"), "{log}");
    let records = read_slots(&std::fs::read(bed.dir.path().join("exits")).unwrap());
    assert_eq!((records.exits.len(), records.exits[0].code), (1, 7));
}

#[needs(root)]
#[test]
fn a_guest_that_lost_the_first_hellos_is_greeted_again() {
    Bed::booted([2; 2]);
}

#[needs(root)]
#[test]
fn a_guest_whose_ports_come_up_one_after_the_other_is_no_nonsense() {
    Bed::booted([0, 2]);
    Bed::booted([2, 0]);
}

#[needs(root)]
#[test]
fn exits_that_come_after_the_answer_to_the_stop_count() {
    let mut bed = running();
    bed.daemon.send(&request(60, Op::Stop(Stop {})));
    bed.guest_answers(Outcome::Empty(Default::default()));
    bed.guest[1].send(&exit(1, "c", 3));
    assert!(matches!(bed.event(), event::Kind::Exited(exit) if exit.code == 3));
    assert!(matches!(bed.answer(60), Outcome::Empty(_)));
    assert_eq!(bed.end(), End::Stopped);
    assert!(bed.killed(), "the VM goes with its containers");
}

#[needs(root)]
#[test]
fn a_guest_that_answers_no_exit_to_the_stop_is_killed_with_its_containers() {
    let mut bed = running();
    bed.daemon.send(&request(60, Op::Stop(Stop {})));
    bed.guest_answers(Outcome::Empty(Default::default()));
    assert!(matches!(bed.event(), event::Kind::Exited(exit) if exit.code == 137));
    assert_eq!(bed.end(), End::Stopped);
}

#[needs(root)]
#[test]
fn a_guest_that_talks_nonsense_is_killed() {
    let empty = || Outcome::Empty(Default::default());
    let answer = |id, outcome| Body::Response(Response { id, outcome });
    let output = |stream, channel, length| data(stream, channel, &vec![0; length]);
    let nonsense: Vec<(&str, usize, Body)> = vec![
        ("an answer to no question", 0, answer(4711, Some(empty()))),
        ("logs of an unknown container", 1, log(1, "other", "x")),
        ("a gap in the sequence", 1, log(2, "c", "x")),
        (
            "a log on a channel that is none",
            1,
            Body::Log(Log { sequence: 1, container: "c".into(), channel: 9, ..Default::default() }),
        ),
        ("an exit code", 1, exit(1, "c", 4711)),
        ("a daemon's frame", 0, request(1, Op::Stop(Stop {}))),
        ("a log on the control port", 0, log(1, "c", "x")),
        ("an announcement", 0, Body::Event(Default::default())),
    ];
    for (what, port, body) in nonsense {
        let mut bed = running();
        bed.guest[port].send(&body);
        bed.assert_killed_for(what, "nonsense");
    }
    let streams: Vec<(&str, Vec<Body>)> = vec![
        ("more than the credit", vec![output(1, STDOUT, 32 * 1024); WINDOW as usize / (32 * 1024) + 1]),
        ("output on the input", vec![output(1, 0, 1)]),
        ("a frame that is too long", vec![output(1, STDERR, 32 * 1024 + 1)]),
        ("credit that was not taken", vec![Body::StreamCredit(StreamCredit { stream: 1, channel: 0, bytes: 1 })]),
    ];
    for (what, bodies) in streams {
        let mut bed = running();
        bed.daemon.send(&request(70, Op::Exec(Exec { spec: Vec::new(), stream: 9, stdout: true, stderr: true })));
        bed.guest_answers(empty());
        bodies.iter().for_each(|body| bed.guest[1].send(body));
        bed.assert_killed_for(what, "nonsense");
    }
    let mut bed = running();
    bed.guest[1].raw(&[0xff; 64]);
    bed.assert_killed_for("no frame at all", "nonsense");
    let mut bed = running();
    bed.guest[0] = Peer::new(pair().0);
    bed.assert_killed_for("a closed port", "closed");
}

#[needs(root)]
#[test]
fn streams_are_renumbered_and_reach_the_daemon() {
    let mut bed = running();
    bed.daemon.send(&request(70, Op::Exec(Exec { spec: b"{}".to_vec(), stream: 9, stdout: true, stderr: false })));
    let asked = bed.guest_answers(Outcome::Empty(Default::default()));
    let Op::Exec(exec) = asked else { panic!("{asked:?}") };
    assert!(matches!(bed.answer(70), Outcome::Empty(_)));
    bed.guest[1].send(&data(exec.stream, STDOUT, b"out"));
    let came = bed.daemon.receive();
    assert!(matches!(came, Body::StreamData(StreamData { stream: 9, channel: STDOUT, data, .. }) if data == b"out"));
    bed.daemon.send(&data(9, 0, b"in"));
    let came = bed.guest[1].receive();
    assert!(
        matches!(came, Body::StreamData(StreamData { stream, data, .. }) if stream == exec.stream && data == b"in")
    );
}
