//! Guests that do not give what they owe: no answer, half an answer, no exit. However they fill the time, they are
//! killed, and the reason is told.

use std::time::Duration;

use cofferdam_pod_api::{
    Attach, Body, Delete, Dial, Empty, Exec, GetStats, Op, Outcome, Patience, Response, Signal, Start, Stop, Update,
    encode, event, read_slots,
};
use cofferdam_supervisor::End;
use cofferdam_test_support::needs;

use super::bed::Bed;
use super::peer::request;
use super::{log, running_with};

/// Far from zero only as much as it takes to be told from it: every guest here is to be killed.
const SOON: Duration = Duration::from_millis(50);

fn no_answer() -> Patience {
    Patience { answer: SOON, ..Patience::default() }
}

fn stats() -> Body {
    request(60, Op::Stats(GetStats { container: "c".into() }))
}

#[needs(root)]
#[test]
fn a_guest_that_does_not_answer_a_request_is_killed() {
    let c = || "c".to_owned();
    let exec = Exec { spec: Vec::new(), stream: 9, stdout: true, stderr: true };
    let attach = Attach { container: c(), stream: 9, stdin: false, stdout: true, stderr: true };
    let asked = [
        ("signal", Op::Signal(Signal { container: c(), signal: 15, all: false })),
        ("delete", Op::Delete(Delete { container: c() })),
        ("update", Op::Update(Update { container: c(), resources: Vec::new() })),
        ("stats", Op::Stats(GetStats { container: c() })),
        ("exec", Op::Exec(exec)),
        ("attach", Op::Attach(attach)),
        ("dial", Op::Dial(Dial { port: 80, stream: 9 })),
    ];
    for (name, op) in asked {
        let mut bed = running_with(no_answer());
        bed.daemon.send(&request(60, op));
        bed.assert_killed_for(name, &format!("did not answer a request ({name})"));
    }
    let mut bed = Bed::booted_with([0; 2], Patience { setup: SOON, ..Patience::default() });
    bed.ask_create("c");
    bed.assert_killed_for("create", "(create)");
}

#[needs(root)]
#[test]
fn who_asked_is_told_that_the_sandbox_is_gone() {
    let mut bed = running_with(Patience { setup: Duration::from_secs(120), ..no_answer() });
    bed.daemon.send(&stats());
    bed.daemon.send(&request(61, Op::Start(Start { container: "c".into() })));
    for id in [60, 61] {
        let Outcome::Error(error) = bed.answer(id) else { panic!("an answer to {id}") };
        assert!(error.message.contains("(stats)"), "{}", error.message);
    }
}

#[needs(root)]
#[test]
fn an_answer_that_never_ends_is_no_answer() {
    let mut bed = running_with(no_answer());
    bed.daemon.send(&stats());
    let Body::Request(asked) = bed.guest[0].receive() else { panic!("no request") };
    let mut answer = Vec::new();
    let error = cofferdam_pod_api::Error { kind: 0, message: "x".repeat(100_000) };
    let outcome = Some(Outcome::Error(error));
    encode(&Body::Response(Response { id: asked.id, outcome }).into(), &mut answer);
    // A byte at a time until it is killed; the last byte never comes.
    let (_, most) = answer.split_last().unwrap();
    for byte in most {
        bed.guest[0].raw(&[*byte]);
        if bed.killed() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bed.assert_killed_for("byte by byte", "(stats)");
}

#[needs(root)]
#[test]
fn a_flood_of_output_is_no_answer() {
    let mut bed = running_with(no_answer());
    bed.daemon.send(&stats());
    let mut sequence = 0;
    while !bed.killed() {
        sequence += 1;
        bed.guest[1].send(&log(sequence, "c", &"y\n".repeat(500)));
        assert!(sequence < 10_000_000, "it floods for ever");
    }
    bed.assert_killed_for("a flood", "(stats)");
}

#[needs(root)]
#[test]
fn a_killed_container_whose_exit_does_not_come_is_the_end_of_the_guest() {
    let mut bed = running_with(Patience { killed: SOON, ..Patience::default() });
    bed.daemon.send(&request(60, Op::Signal(Signal { container: "c".into(), signal: 9, all: true })));
    bed.guest_answers(Outcome::Empty(Empty {}));
    assert!(matches!(bed.answer(60), Outcome::Empty(_)));
    bed.assert_killed_for("no exit", "container c in the guest did not end within 50ms of SIGKILL");
}

#[needs(root)]
#[test]
fn a_guest_that_does_not_stop_is_killed_and_the_stop_succeeds() {
    let mut bed = running_with(Patience { stop: SOON, ..Patience::default() });
    bed.daemon.send(&request(60, Op::Stop(Stop {})));
    assert!(matches!(bed.answer(60), Outcome::Empty(_)));
    // The reason, and no exit without one.
    let event::Kind::Gone(gone) = bed.event() else { panic!("another event came first") };
    assert!(gone.reason.contains("did not stop within 50ms"), "{}", gone.reason);
    assert_eq!(bed.end(), End::Stopped);
    assert!(bed.killed());
    let records = read_slots(&std::fs::read(bed.dir.path().join("exits")).unwrap());
    assert_eq!((records.exits.len(), records.gone), (0, Some(gone.reason)));
}
