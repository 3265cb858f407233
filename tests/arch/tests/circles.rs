//! No circles of files or folders inside a crate. `src/circles/mod.rs` says what an arrow is.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use cofferdam_arch_tests::circles::{Arrows, Circle, Tree};
use cofferdam_arch_tests::{members, root};

fn circles() -> Vec<Circle> {
    let arrows = targets().into_iter().map(|target| Arrows::of(&read(&target)));
    arrows.flat_map(|arrows| [arrows.circles(), arrows.circles_of_rooms()].concat()).collect()
}

fn targets() -> Vec<PathBuf> {
    members().unwrap().into_iter().flat_map(|member| member.targets).collect()
}

fn read(target: &Path) -> Tree {
    let load = |path: &Path| fs::read_to_string(root().join(path)).ok();
    Tree::read(target, &load).unwrap_or_else(|e| panic!("{e:#}"))
}

#[test]
fn files_and_folders_of_a_crate_make_no_circles() {
    let circles: String = circles().iter().map(ToString::to_string).collect();
    assert!(circles.is_empty(), "\n{circles}");
}

#[test]
fn every_name_of_the_crate_itself_leads_to_a_module_or_an_item() {
    let lost: Vec<String> = targets().into_iter().flat_map(|target| read(&target).lost()).collect();
    assert!(lost.is_empty(), "arrows are missing, for the reader does not understand\n{}", lost.join("\n"));
}
