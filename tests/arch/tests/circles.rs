//! No circles of files or folders inside a crate. `src/circles/mod.rs` says what an arrow is.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cofferdam_arch_tests::circles::{Arrows, Circle, Tree};
use cofferdam_arch_tests::{members, root};

/// Circles that are still there, by their files or folders. The list only gets shorter: what is in no circle any more
/// must be struck out, and nothing may be added.
const STILL_THERE: &[&[&str]] =
    &[&["tests/support/src/builder.rs", "tests/support/src/daemon.rs", "tests/support/src/lifecycle.rs"]];

static CIRCLES: LazyLock<Vec<Circle>> = LazyLock::new(|| {
    let arrows = targets().into_iter().map(|target| Arrows::of(&read(&target)));
    arrows.flat_map(|arrows| [arrows.circles(), arrows.circles_of_rooms()].concat()).collect()
});

fn targets() -> Vec<PathBuf> {
    members().unwrap().into_iter().flat_map(|member| member.targets).collect()
}

fn read(target: &Path) -> Tree {
    let load = |path: &Path| fs::read_to_string(root().join(path)).ok();
    Tree::read(target, &load).unwrap_or_else(|e| panic!("{e:#}"))
}

#[test]
fn files_and_folders_of_a_crate_make_no_circles() {
    let mut wrong = String::new();
    for circle in &*CIRCLES {
        let known = |files: &&[&str]| circle.files.iter().all(|file| files.contains(&file.as_str()));
        if !STILL_THERE.iter().any(known) {
            wrong.push_str(&circle.to_string());
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_name_of_the_crate_itself_leads_to_a_module_or_an_item() {
    let lost: Vec<String> = targets().into_iter().flat_map(|target| read(&target).lost()).collect();
    assert!(lost.is_empty(), "arrows are missing, for the reader does not understand\n{}", lost.join("\n"));
}

#[test]
fn the_list_of_circles_names_nothing_that_is_free() {
    let tied = |file: &str| CIRCLES.iter().any(|circle| circle.files.iter().any(|other| other == file));
    let free: Vec<&&str> = STILL_THERE.iter().copied().flatten().filter(|file| !tied(file)).collect();
    assert!(free.is_empty(), "strike out {free:#?}");
}
