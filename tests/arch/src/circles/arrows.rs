//! Arrows between files, and the circles that they make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::module::{Module, Named};
use super::resolve::{Item, Resolver};
use super::tree::Tree;

/// Which file names what of which other file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Arrows(BTreeMap<(String, String), BTreeSet<String>>);

/// Files that all reach each other by arrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// The files, sorted.
    pub files: Vec<String>,
    /// The arrows between them: from, to, and the names that tie them.
    pub ties: Vec<(String, String, Vec<String>)>,
}

impl Arrows {
    /// All arrows of a crate.
    pub fn of(tree: &Tree) -> Arrows {
        let resolver = Resolver::new(tree);
        let mut arrows = Arrows::default();
        for (number, module) in tree.modules.iter().enumerate() {
            arrows.imported(tree, &resolver, number, module);
            for named in &module.named {
                match named {
                    Named::Path(path) => {
                        for item in resolver.items(number, path) {
                            arrows.item(tree, &resolver, module, &item);
                        }
                    }
                    Named::Method(of, name) => {
                        for item in resolver.items(number, of) {
                            resolver.method(&item, name).for_each(|file| arrows.add(module, file, name));
                        }
                    }
                    Named::Macro(name) => {
                        for item in resolver.macros(number, name) {
                            arrows.item(tree, &resolver, module, &item);
                        }
                    }
                }
            }
        }
        arrows
    }

    fn imported(&mut self, tree: &Tree, resolver: &Resolver<'_>, number: usize, module: &Module) {
        for import in module.imports.values().flatten() {
            for item in resolver.items(number, &import.path) {
                // A façade hands on what its children define without using it.
                if !(import.exported && resolver.is_within(item.module, number)) {
                    self.item(tree, resolver, module, &item);
                }
            }
        }
        for glob in module.globs.iter().filter(|glob| !glob.exported) {
            for item in resolver.items(number, &glob.path).iter().chain(&resolver.traits_below(number, &glob.path)) {
                self.item(tree, resolver, module, item);
            }
        }
    }

    fn item(&mut self, tree: &Tree, resolver: &Resolver<'_>, module: &Module, item: &Item) {
        self.add(module, &tree.modules[item.module].file, &item.name);
        if let Some(member) = &item.member {
            let name = format!("{}::{member}", item.name);
            resolver.method(item, member).for_each(|file| self.add(module, file, &name));
        }
    }

    fn add(&mut self, from: &Module, to: &str, name: &str) {
        if from.file != to {
            self.0.entry((from.file.clone(), to.to_owned())).or_default().insert(name.to_owned());
        }
    }

    /// The names that tie one file to another; none: there is no arrow.
    pub fn names(&self, from: &str, to: &str) -> Vec<&str> {
        let names = self.0.get(&(from.to_owned(), to.to_owned()));
        names.into_iter().flatten().map(String::as_str).collect()
    }

    /// All arrows, each with its names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, &BTreeSet<String>)> {
        self.0.iter().map(|((from, to), names)| (from.as_str(), to.as_str(), names))
    }

    /// Draws an arrow.
    pub(super) fn draw(&mut self, from: &str, to: &str, names: &BTreeSet<String>) {
        self.0.entry((from.to_owned(), to.to_owned())).or_default().extend(names.iter().cloned());
    }

    /// Every circle of files, each with all of its files.
    pub fn circles(&self) -> Vec<Circle> {
        let graph: DiGraphMap<&str, ()> = self.0.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let mut circles: Vec<Circle> =
            tarjan_scc(&graph).into_iter().filter(|files| files.len() > 1).map(|files| self.circle(&files)).collect();
        circles.sort_by(|a, b| a.files.cmp(&b.files));
        circles
    }

    fn circle(&self, files: &[&str]) -> Circle {
        let inside = |(from, to): &(String, String)| files.contains(&from.as_str()) && files.contains(&to.as_str());
        let ties = self.0.iter().filter(|(arrow, _)| inside(arrow));
        let ties =
            ties.map(|((from, to), names)| (from.clone(), to.clone(), names.iter().cloned().collect())).collect();
        let mut files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        files.sort();
        Circle { files, ties }
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a circle of {} files:", self.files.len())?;
        self.ties.iter().try_for_each(|(from, to, names)| writeln!(f, "  {from} -> {to}: {}", names.join(", ")))
    }
}
