//! Every target on its seeds, on the corpus in the tree, and on a fixed number of mutations of both.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cofferdam_fuzz_targets::{TARGETS, Target};
use cofferdam_test_support::needs;

/// Mutated inputs for each target; the sequence is always the same.
const MUTATIONS: u32 = 3_000;
/// The same for a target that starts a server for each.
const MUTATIONS_OF_A_SERVER: u32 = 60;

/// A fixed sequence (PCG's multiplier), so that a failure can be repeated.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// One to eight changes of the kinds that break readers: flipped bits, extreme bytes, cuts, repeats and splices.
fn mutate(input: &[u8], other: &[u8], random: &mut Sequence) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'"', b'\n'][random.below(8)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => drop(bytes.drain(at..(at + random.below(32)).min(bytes.len()))),
            _ => bytes.splice(at.., other[random.below(other.len())..].iter().copied()).for_each(drop),
        }
    }
    bytes
}

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    assert!(!inputs.is_empty(), "{} has no seed", target.name);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target.name);
    if let Ok(entries) = fs::read_dir(&corpus) {
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        inputs.extend(paths.iter().map(|path| fs::read(path).unwrap()));
    }
    inputs
}

fn try_one(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let path = std::env::temp_dir().join(format!("cofferdam-fuzz-{}", target.name));
        fs::write(&path, input).unwrap();
        eprintln!("{}: the input is in {}; it belongs into fuzz/corpus/{}", target.name, path.display(), target.name);
        std::panic::resume_unwind(panic);
    }
}

fn exercise(name: &str, mutations: u32) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = inputs(target);
    inputs.iter().for_each(|input| try_one(target, input));
    let mut random = Sequence(0x5eed);
    for _ in 0..mutations {
        let (one, other) = (&inputs[random.below(inputs.len())], &inputs[random.below(inputs.len())]);
        try_one(target, &mutate(one, other, &mut random));
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?; with root: $($server:ident),* $(,)?) => {
        $(#[test] fn $name() { exercise(stringify!($name), MUTATIONS); })*
        $(#[needs(root)] #[test] fn $server() { exercise(stringify!($server), MUTATIONS_OF_A_SERVER); })*

        #[test]
        fn every_target_has_a_test_and_a_program() {
            let tested = [$(stringify!($name),)* $(stringify!($server)),*];
            let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
            let manifest = fs::read_to_string(programs.join("../Cargo.toml")).unwrap();
            for target in TARGETS {
                let name = target.name;
                assert!(tested.contains(&name), "{name} has no test here");
                assert!(programs.join(format!("{name}.rs")).is_file(), "{name} has no program for cargo-fuzz");
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
            }
            assert_eq!(TARGETS.len(), tested.len());
        }
    };
}

targets![
    pod_frames, exit_records, spdy_frames, layer, image_manifest, image_config, hosts_toml, cluster_objects,
    cri_configs;
    with root: guest_messages
];
