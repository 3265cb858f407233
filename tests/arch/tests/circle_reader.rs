//! The reader of circles, on small trees that were made up: it finds what is there and places re-exports right.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use cofferdam_arch_tests::circles::{Arrows, Tree};

type Files<'a> = &'a [(&'a str, &'a str)];

fn tree(files: Files<'_>) -> Tree {
    let load = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new("src").join(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    Tree::read(Path::new("src/lib.rs"), &load).unwrap_or_else(|e| panic!("{e:#}"))
}

fn arrows(files: Files<'_>) -> Arrows {
    let tree = tree(files);
    assert!(tree.lost().is_empty(), "{:?}", tree.lost());
    Arrows::of(&tree)
}

fn circles(files: Files<'_>) -> Vec<Vec<String>> {
    arrows(files).circles().into_iter().map(|circle| circle.files).collect()
}

#[test]
fn two_files_that_name_each_other_are_a_circle_and_its_names_are_told() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::{Second as Other}; pub struct First(Other);"),
        ("b.rs", "pub struct Second; fn f() -> super::a::First { todo!() }"),
    ];
    let circle = &arrows(files).circles()[0];
    assert_eq!(circle.files, ["src/a.rs", "src/b.rs"]);
    let ties: Vec<String> = circle.ties.iter().map(|(from, to, names)| format!("{from} {to} {names:?}")).collect();
    assert_eq!(ties, [r#"src/a.rs src/b.rs ["Second"]"#, r#"src/b.rs src/a.rs ["First"]"#]);
}

#[test]
fn files_that_name_each_other_one_way_only_are_none() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b; mod c; pub use a::A; fn f(_: A) { c::g(); }"),
        ("a.rs", "use crate::b::B; pub struct A(B, crate::c::C);"),
        ("b.rs", "pub struct B(super::c::C);"),
        ("c.rs", "pub struct C; pub fn g() {}"),
    ];
    assert!(circles(files).is_empty());
}

#[test]
fn a_circle_may_be_long() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "pub fn a() { crate::b::b() }"),
        ("b.rs", "use crate::c; pub fn b() { c::c() }"),
        ("c.rs", "pub fn c() { super::a::a(); super::d::d() }"),
        ("d.rs", "pub fn d() {}"),
    ];
    assert_eq!(circles(files), [["src/a.rs", "src/b.rs", "src/c.rs"]]);
}

#[test]
fn a_facade_that_hands_on_what_its_children_define_is_in_no_circle() {
    let files: Files<'_> = &[
        ("lib.rs", "mod house; pub use house::Door;"),
        ("house/mod.rs", "mod door; mod wall; pub use door::Door; pub(crate) use wall::*;"),
        ("house/door.rs", "use super::Wall; pub struct Door(Wall);"),
        ("house/wall.rs", "pub struct Wall;"),
    ];
    let arrows = arrows(files);
    assert!(arrows.circles().is_empty());
    assert_eq!(arrows.names("src/house/door.rs", "src/house/wall.rs"), ["Wall"]);
    assert!(arrows.names("src/house/door.rs", "src/house/mod.rs").is_empty());
}

#[test]
fn a_facade_that_uses_what_it_hands_on_is_tied_to_it() {
    let files: Files<'_> = &[
        ("lib.rs", "mod house;"),
        ("house/mod.rs", "mod door; pub use door::Door; pub struct Error; pub fn open(_: Door) {}"),
        ("house/door.rs", "pub struct Door; impl Door { fn f() -> super::Error { todo!() } }"),
    ];
    assert_eq!(circles(files), [["src/house/door.rs", "src/house/mod.rs"]]);
}

#[test]
fn a_re_export_from_beside_is_an_arrow() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B(crate::a::A);"),
    ];
    assert_eq!(circles(files), [["src/a.rs", "src/b.rs"]]);
}

#[test]
fn names_are_followed_through_several_re_exports_and_renamings() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b; mod user; pub use a::Second as Third;"),
        ("a.rs", "pub use crate::b::First as Second;"),
        ("b.rs", "pub struct First;"),
        ("user.rs", "fn f() -> crate::Third { todo!() }"),
    ];
    let arrows = arrows(files);
    assert_eq!(arrows.names("src/user.rs", "src/b.rs"), ["First"]);
    assert!(arrows.names("src/user.rs", "src/lib.rs").is_empty());
    assert!(arrows.names("src/user.rs", "src/a.rs").is_empty());
}

#[test]
fn a_module_and_a_function_of_one_name_are_told_apart() {
    let files: Files<'_> = &[
        ("lib.rs", "mod run; mod other; pub use run::run;"),
        ("run.rs", "pub fn run() {} pub fn walk() { crate::other::stand() }"),
        ("other.rs", "pub fn stand() {} fn f() { crate::run::walk(); }"),
    ];
    assert_eq!(circles(files), [["src/other.rs", "src/run.rs"]]);
}

#[test]
fn variants_associated_functions_and_patterns_lead_to_the_type() {
    for user in [
        "fn f() { let _ = crate::b::Kind::One; }",
        "use crate::b::Kind::*; fn f() { let _ = One; }",
        "use crate::b::Kind::One; fn f() { let _ = One; }",
        "use crate::b; fn f(k: u8) { match k { b::MAX => {} _ => {} } }",
        "fn f() { crate::b::Kind::new(); }",
        "fn f() { <crate::b::Kind>::new(); }",
        "fn f() { <u8 as crate::b::Trait>::g(); }",
        "impl crate::b::Trait for u8 {}",
        "fn f(_: &dyn crate::b::Trait) {}",
        "fn f<T: crate::b::Trait>() {}",
        "fn f() { println!(\"{}\", crate::b::MAX); }",
        "use crate::b::*; fn f(x: u8) { x.method(); }",
        "#[serde(with = \"crate::b::format\")] struct S;",
        "#[arg(value_parser = crate::b::format)] struct S;",
        "fn f() { use crate::b::MAX; }",
        "mod inner { fn f() { super::super::b::format() } }",
        "struct S { kind: Option<Vec<crate::b::Kind>> }",
        "fn f() { let _: Vec<_> = [1].map(crate::b::format); }",
    ] {
        let text = "pub enum Kind { One } impl Kind { pub fn new() {} } pub const MAX: u8 = 1; \
            pub trait Trait { fn g() {} } pub fn format() {} pub struct B(crate::a::A);";
        let user = format!("pub struct A; {user}");
        let files: Files<'_> = &[("lib.rs", "mod a; mod b;"), ("a.rs", &user), ("b.rs", text)];
        assert_eq!(circles(files), [["src/a.rs", "src/b.rs"]], "{user}");
    }
}

#[test]
fn methods_in_another_file_than_their_type_are_arrows_to_that_file() {
    for call in ["self.walk()", "Self::walk(self)", "House::walk(self)", "assert!(self.walk() == ())"] {
        let house = format!("pub struct House; impl House {{ fn f(&self) {{ {call} }} }}");
        let files: Files<'_> = &[
            ("lib.rs", "mod house; mod walk;"),
            ("house.rs", &house),
            ("walk.rs", "impl crate::house::House { pub fn walk(&self) {} }"),
        ];
        assert_eq!(circles(files), [["src/house.rs", "src/walk.rs"]], "{call}");
    }
    let apart: Files<'_> = &[
        ("lib.rs", "mod house; mod walk;"),
        (
            "house.rs",
            "pub struct House; impl House { fn f(&self, other: &str) { other.walk(); self.run() } fn run(&self) {} }",
        ),
        ("walk.rs", "impl crate::house::House { pub fn walk(&self) {} }"),
    ];
    assert!(circles(apart).is_empty());
}

#[test]
fn tests_draw_no_arrows() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; } #[cfg(all(test, unix))] fn f(_: crate::b::B) {}",
        ),
        ("b.rs", "pub struct B(crate::a::A); #[cfg(test)] mod missing;"),
    ];
    assert!(circles(files).is_empty());
    let shipped: Files<'_> = &[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; #[cfg(any(test, feature = \"fake\"))] fn f(_: crate::b::B) {}"),
        ("b.rs", "pub struct B(crate::a::A);"),
    ];
    assert_eq!(circles(shipped).len(), 1);
}

#[test]
fn fields_arguments_and_other_crates_are_no_items_of_the_crate() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; fn f(x: X) { std::b::g(); x.g(); log!(g = 1, x.g, Y { g: 1 }); ::g::g(); }"),
        ("b.rs", "pub fn g(_: crate::a::A) {}"),
    ];
    assert!(circles(files).is_empty());
}

#[test]
fn macros_by_example_belong_to_the_file_that_defines_them() {
    let files: Files<'_> = &[
        ("lib.rs", "#[macro_use] mod a; mod b;"),
        ("a.rs", "macro_rules! step { () => { $crate::b::g() } } pub struct A;"),
        ("b.rs", "pub fn g() {} fn f() { step!() }"),
    ];
    assert_eq!(circles(files), [["src/a.rs", "src/b.rs"]]);
}

#[test]
fn what_a_macro_makes_belongs_to_the_file_that_calls_it() {
    let files: Files<'_> = &[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "handle!(Rule); fn f() { crate::b::g() }"),
        ("b.rs", "use crate::a::Rule; pub fn g() {}"),
    ];
    assert_eq!(circles(files), [["src/a.rs", "src/b.rs"]]);
}

#[test]
fn what_another_crate_defines_and_the_root_hands_on_is_outside() {
    let files: Files<'_> = &[("lib.rs", "mod a; pub use other::Kind;"), ("a.rs", "use crate::Kind;")];
    assert_eq!(arrows(files), Arrows::default());
}

#[test]
fn folders_can_make_a_circle_although_their_files_do_not() {
    let files: Files<'_> = &[
        ("lib.rs", "mod serve; mod admin;"),
        ("serve/mod.rs", "mod build; mod listen; pub use build::Daemon;"),
        ("serve/build.rs", "pub struct Daemon;"),
        ("serve/listen.rs", "fn f(_: crate::admin::Service) {}"),
        ("admin.rs", "use crate::serve::Daemon; pub struct Service(Daemon);"),
    ];
    let arrows = arrows(files);
    assert!(arrows.circles().is_empty());
    let rooms: Vec<Vec<String>> = arrows.circles_of_rooms().into_iter().map(|circle| circle.files).collect();
    assert_eq!(rooms, [["src/admin", "src/serve"]]);
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let files: Files<'_> = &[("lib.rs", "mod a;"), ("a.rs", "use crate::b::B; use super::a::C; use tokio::D;")];
    assert_eq!(tree(files).lost().len(), 2);
}

#[test]
fn a_module_without_a_file_is_an_error() {
    let load = |path: &Path| (path == Path::new("src/lib.rs")).then(|| "mod a;".to_owned());
    assert!(Tree::read(Path::new("src/lib.rs"), &load).is_err());
}
