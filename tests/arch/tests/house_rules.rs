//! What every crate keeps to, whoever writes it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cofferdam_arch_tests::{members, root, sources};
use toml::{Table, Value};

/// The only places of unsafe code: the system calls, and the calls of libnftnl.
const UNSAFE: [&str; 2] = ["sandbox/sys/", "netpolicy/nft/src/ffi/"];

/// Folders of the top level; a new one needs a reason and a line here.
const FOLDERS: [&str; 9] = ["cri", "docs", "fuzz", "manifests", "netpolicy", "proto", "sandbox", "tenant", "tests"];

/// What `make` puts there; git ignores it.
const BUILT: [&str; 2] = ["bin", "target"];

/// Files with lines inside a text that has to be as wide as it is.
const WIDE_TEXTS: &[(&str, &str)] = &[
    ("netpolicy/watch/tests/directory.rs", "a YAML file"),
    ("sandbox/container/tests/kernel/shared.rs", "a shell script"),
    ("tests/arch/tests/manifests.rs", "the head of the CRD's file"),
    ("tests/cluster/src/addons.rs", "a YAML file"),
];

/// Files of more than [`LONG`] lines, each with the reason why it is not divided.
const LONG_FILES: &[(&str, &str)] =
    &[("netpolicy/nft/tests/kernel.rs", "one kernel and one table for all of its tests")];

/// A file has one subject; a longer one mostly has two.
const LONG: usize = 400;

fn manifest(dir: &Path) -> Table {
    fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap()
}

#[test]
fn unsafe_code_has_two_places() {
    let root = root();
    let mut wrong = Vec::new();
    for path in sources().unwrap() {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if UNSAFE.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if is_unsafe(line) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let word = concat!("un", "safe");
    let keyword = ["{", "fn ", "impl ", "extern ", "trait "];
    keyword.iter().any(|next| code.contains(&format!("{word} {next}")))
        || code.contains(&format!("#[{word}("))
        || ["allow(", "expect("].iter().any(|lint| code.contains(&format!("{lint}{word}_code")))
}

#[test]
fn the_search_for_unsafe_code_finds_it() {
    let word = concat!("un", "safe");
    assert!(is_unsafe(&format!("    let x = {word} {{ libc::getpid() }};")));
    assert!(is_unsafe(&format!("#![allow({word}_code)]")));
    assert!(!is_unsafe(&format!("// an {word} {{ block }}")));
}

/// Every source file by its name from the workspace's directory, with its text.
fn texts() -> Vec<(String, String)> {
    let root = root();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    sources().unwrap().into_iter().map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn no_line_is_wider_than_rustfmt_is_told() {
    let rustfmt: Table = fs::read_to_string(root().join("rustfmt.toml")).unwrap().parse().unwrap();
    let width = usize::try_from(rustfmt["max_width"].as_integer().unwrap()).unwrap();
    let (mut wrong, mut unused) = (Vec::new(), BTreeSet::from_iter(WIDE_TEXTS.iter().map(|(file, _)| *file)));
    for (name, text) in texts() {
        for (number, _) in text.lines().enumerate().filter(|(_, line)| is_too_wide(line, width)) {
            match WIDE_TEXTS.iter().find(|(file, _)| name == *file) {
                Some((file, _)) => drop(unused.remove(file)),
                None => wrong.push(format!("{name}:{}", number + 1)),
            }
        }
    }
    assert!(wrong.is_empty(), "wider than {width}:\n{}", wrong.join("\n"));
    assert!(unused.is_empty(), "strike out {unused:?}");
}

/// A string may be wider, since rustfmt cannot break it either, and so may a row of a table in a comment.
fn is_too_wide(line: &str, width: usize) -> bool {
    let text = line.trim_start();
    let row = text.starts_with("//! |") || text.starts_with("/// |");
    line.chars().count() > width && !row && (text.starts_with("//") || !line.contains('"'))
}

#[test]
fn sources_cite_no_document_outside_the_tree() {
    let cited = concat!("DESIGN", " ");
    let cites = |line: &str| line.split(cited).skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let mut wrong = Vec::new();
    for (name, text) in texts() {
        let lines = text.lines().enumerate().filter(|(_, line)| cites(line));
        wrong.extend(lines.map(|(number, _)| format!("{name}:{}", number + 1)));
    }
    assert!(wrong.is_empty(), "reasons belong into docs/design:\n{}", wrong.join("\n"));
}

#[test]
fn a_long_file_has_a_reason() {
    let long: Vec<String> =
        texts().into_iter().filter(|(_, text)| text.lines().count() > LONG).map(|(name, _)| name).collect();
    let listed: Vec<&str> = LONG_FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(long, listed, "files of more than {LONG} lines, and those that are listed");
}

#[test]
fn one_version_per_dependency_stands_in_one_table() {
    let mut wrong = Vec::new();
    for member in members().unwrap() {
        let table = manifest(&root().join(&member.folder));
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let by_workspace = value.get("workspace").and_then(Value::as_bool) == Some(true);
                // Cargo cannot turn an inherited dependency's default features off, so these name the path.
                let slim = value.get("path").is_some() && value.get("default-features") == Some(&Value::Boolean(false));
                if !by_workspace && !slim {
                    wrong.push(format!("{}: {section}.{name} is not `workspace = true`", member.folder));
                }
            }
        }
        assert!(!table.contains_key("target"), "{}: dependencies by target are not looked at", member.folder);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What cargo-machete does not look at: it goes by crates.
#[test]
fn the_workspaces_table_has_no_entry_that_nobody_uses() {
    let workspace = manifest(&root());
    let mut unused: Vec<String> = workspace["workspace"]["dependencies"].as_table().unwrap().keys().cloned().collect();
    for member in members().unwrap() {
        let table = manifest(&root().join(&member.folder));
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let used = table.get(section).and_then(Value::as_table);
            unused.retain(|name| !used.is_some_and(|used| used.contains_key(name)));
        }
    }
    assert!(unused.is_empty(), "{unused:?}");
}

/// A test that looks for root or for CI by itself could pass without having run.
#[test]
fn the_gate_for_root_is_the_only_one() {
    let root = root();
    let own = ["is_root()", concat!("\"C", "I\"")];
    let mut wrong = Vec::new();
    for path in sources().unwrap() {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let is_test = name.contains("/tests/") || (name.starts_with("tests/") && !name.starts_with("tests/bench/"));
        if !is_test || name == "tests/support/src/gate.rs" || name == file!() {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if own.iter().any(|sign| line.contains(sign)) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_licence() {
    for member in members().unwrap() {
        let table = manifest(&root().join(&member.folder));
        let inherits = |value: Option<&Value>| value.and_then(|v| v.get("workspace")) == Some(&Value::Boolean(true));
        assert!(inherits(table.get("lints")), "{}: [lints] is not the workspace's", member.folder);
        assert!(inherits(table["package"].get("license")), "{}: license is not the workspace's", member.folder);
    }
}

#[test]
fn the_top_level_has_the_folders_of_the_map() {
    let mut found: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !BUILT.contains(&name.as_str()))
        .collect();
    found.sort();
    assert_eq!(found, FOLDERS);
}

#[test]
fn main_of_the_daemon_stays_a_page() {
    let text = fs::read_to_string(root().join("cri/daemon/src/main.rs")).unwrap();
    assert!(text.lines().count() < 60, "config -> build -> run -> drain, and nothing else");
}
