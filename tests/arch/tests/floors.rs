//! The drawing of the workspace in docs/ARCHITECTURE.md is true: every dependency goes to a lower floor.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;

use cofferdam_arch_tests::{Kind, Member, members, root};

/// What stands beside the house: it may use every floor, and nothing uses it.
const BESIDE: [&str; 2] = ["tests/", "fuzz/"];

/// Crate -> floor, from the drawing: a line begins with the number of its floor, or goes on with that of the line
/// before.
fn drawing(text: &str) -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    let mut floor = 0;
    let lines = text.lines().skip_while(|line| !line.starts_with("floor ")).skip(1);
    for word in lines.take_while(|line| !line.starts_with("```")).flat_map(str::split_whitespace) {
        match word.parse() {
            Ok(number) => floor = number,
            Err(_) => assert_eq!(floors.insert(word.to_owned(), floor), None, "{word} is drawn twice"),
        }
    }
    floors
}

fn drawn() -> BTreeMap<String, u32> {
    drawing(&fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap())
}

fn house() -> Vec<Member> {
    let beside = |member: &Member| BESIDE.iter().any(|folder| member.folder.starts_with(folder));
    members().unwrap().into_iter().filter(|member| !beside(member)).collect()
}

#[test]
fn the_drawing_shows_every_crate_and_no_other() {
    let house: Vec<String> = house().into_iter().map(|member| member.folder).collect();
    let drawn = drawn();
    let missing: Vec<&String> = house.iter().filter(|folder| !drawn.contains_key(*folder)).collect();
    let gone: Vec<&String> = drawn.keys().filter(|folder| !house.contains(folder)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not drawn: {missing:?}; drawn, but gone: {gone:?}");
}

#[test]
fn every_crate_stands_one_floor_above_the_highest_that_it_depends_on() {
    let drawn = drawn();
    let mut wrong = Vec::new();
    for member in house() {
        let shipped = member.depends_on.iter().filter(|(_, kind)| *kind != Kind::Dev);
        let below = shipped.filter_map(|(on, _)| drawn.get(on)).max().copied().unwrap_or(0);
        if drawn.get(&member.folder) != Some(&(below + 1)) {
            wrong.push(format!(
                "{} is drawn on floor {:?}, not {}",
                member.folder,
                drawn.get(&member.folder),
                below + 1
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn facts_know_no_policies_and_wire_formats_know_no_sandboxes() {
    for member in members().unwrap() {
        for (from, to) in [("tenant/", "netpolicy/"), ("proto/", "sandbox/")] {
            let up = member.depends_on.iter().find(|(on, _)| member.folder.starts_with(from) && on.starts_with(to));
            assert!(up.is_none(), "{} depends on {up:?}", member.folder);
        }
    }
}

#[test]
fn a_floor_may_have_several_lines() {
    let text = "before\nfloor  names\n  2    a/b   a/c\n       a/d\n  1    a/e\n```\nafter a/f\n";
    let expected = [("a/b", 2), ("a/c", 2), ("a/d", 2), ("a/e", 1)];
    assert_eq!(drawing(text), expected.map(|(name, floor)| (name.to_owned(), floor)).into());
}
