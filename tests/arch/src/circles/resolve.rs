//! From a name to where it is defined, through imports and re-exports.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::module::{Definition, Module};
use super::tree::Tree;

/// An item, by the module that defines it and its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub module: usize,
    pub name: String,
    /// What follows in the path: a variant, a method.
    pub member: Option<String>,
}

#[derive(Debug, Clone)]
enum Target {
    Module(usize),
    Item(Item, Definition),
    /// Something of another crate, or a local variable.
    Outside,
}

/// A crate in which names can be looked up.
pub(super) struct Resolver<'a> {
    tree: &'a Tree,
    /// Of a type whose methods are not all where it is defined: module and name, then method -> files.
    methods: HashMap<(usize, String), HashMap<String, BTreeSet<&'a str>>>,
}

impl Tree {
    /// Imports from the crate itself that lead nowhere, with their files: there an arrow may be missing.
    pub fn lost(&self) -> Vec<String> {
        let resolver = Resolver::new(self);
        let mut lost = Vec::new();
        for (number, module) in self.modules.iter().enumerate() {
            for path in module.imports.values().flatten().chain(&module.globs).map(|import| &import.path) {
                let own = path.first().is_some_and(|first| matches!(first.as_str(), "crate" | "self" | "super"));
                if own && resolver.walk(number, path, &mut Asked::new()).is_empty() {
                    lost.push(format!("{}: {}", module.file, path.join("::")));
                }
            }
        }
        lost
    }
}

/// What is being looked up already: imports may lead back to themselves.
type Asked = HashSet<(usize, String)>;

impl<'a> Resolver<'a> {
    pub fn new(tree: &'a Tree) -> Self {
        let mut resolver = Resolver { tree, methods: HashMap::new() };
        let mut methods: HashMap<_, HashMap<String, BTreeSet<&str>>> = HashMap::new();
        for (number, module) in tree.modules.iter().enumerate() {
            for block in &module.methods {
                for item in resolver.items(number, &block.of) {
                    let of = methods.entry((item.module, item.name)).or_default();
                    for name in &block.names {
                        of.entry(name.clone()).or_default().insert(&module.file);
                    }
                }
            }
        }
        resolver.methods = methods;
        resolver
    }

    /// The items that a path may mean in a module; none: another crate's, a local variable, or a module itself.
    pub fn items(&self, from: usize, path: &[String]) -> Vec<Item> {
        let items = self.walk(from, path, &mut Asked::new()).into_iter();
        items.filter_map(|target| if let Target::Item(item, _) = target { Some(item) } else { None }).collect()
    }

    /// Traits that `path::*` brings into a module: their methods can be called without naming them.
    pub fn traits_below(&self, from: usize, path: &[String]) -> Vec<Item> {
        let mut found = Vec::new();
        for target in self.walk(from, path, &mut Asked::new()) {
            let Target::Module(module) = target else { continue };
            let names = self.tree.modules[module].definitions.keys().chain(self.tree.modules[module].imports.keys());
            for target in names.flat_map(|name| self.look_up(module, name, &mut Asked::new())) {
                if let Target::Item(item, Definition::Trait) = target {
                    found.push(item);
                }
            }
        }
        found
    }

    /// What `name!` may mean: macros by example are in scope by their place in the text as well as by their module.
    pub fn macros(&self, from: usize, name: &str) -> Vec<Item> {
        let imported = self.items(from, &[name.to_owned()]);
        if !imported.is_empty() {
            return imported;
        }
        let defines = |module: &Module| module.definitions.get(name).is_some_and(|d| d.contains(&Definition::Macro));
        let modules = self.tree.modules.iter().enumerate().filter(|(_, module)| defines(module));
        modules.map(|(module, _)| Item { module, name: name.to_owned(), member: None }).collect()
    }

    /// The files with this method of a type.
    pub fn method(&self, of: &Item, name: &str) -> impl Iterator<Item = &'a str> {
        let files = self.methods.get(&(of.module, of.name.clone())).and_then(|methods| methods.get(name));
        files.into_iter().flatten().copied()
    }

    /// Whether a module is another or lies below it.
    pub fn is_within(&self, module: usize, outer: usize) -> bool {
        let mut at = Some(module);
        while let Some(number) = at {
            if number == outer {
                return true;
            }
            at = self.tree.modules[number].parent;
        }
        false
    }

    fn walk(&self, from: usize, path: &[String], asked: &mut Asked) -> Vec<Target> {
        let mut base = from;
        let mut rest = path;
        let mut anchored = false;
        while let Some((first, next)) = rest.split_first() {
            base = match first.as_str() {
                "crate" => 0,
                "self" => base,
                "super" => match self.tree.modules[base].parent {
                    Some(parent) => parent,
                    None => return Vec::new(),
                },
                _ => break,
            };
            (rest, anchored) = (next, true);
        }
        let Some((first, rest)) = rest.split_first() else {
            return if anchored { vec![Target::Module(base)] } else { Vec::new() };
        };
        let mut targets = match (anchored, self.look_up(base, first, asked)) {
            (true, found) => self.or_made(base, first, found),
            (false, found) if found.is_empty() => vec![Target::Outside],
            (false, found) => found,
        };
        for name in rest {
            targets = targets.into_iter().flat_map(|target| self.below(target, name, asked)).collect();
        }
        targets
    }

    fn below(&self, target: Target, name: &str, asked: &mut Asked) -> Vec<Target> {
        match target {
            Target::Module(module) => self.or_made(module, name, self.look_up(module, name, asked)),
            Target::Outside => vec![Target::Outside],
            // A function has nothing below it: this name is one of two namespaces, and the other one is meant.
            Target::Item(_, Definition::Value | Definition::Macro) => Vec::new(),
            Target::Item(item, definition) => {
                let member = item.member.or_else(|| Some(name.to_owned()));
                vec![Target::Item(Item { member, ..item }, definition)]
            }
        }
    }

    /// What is named in a module and not seen there was made by a macro that is called there.
    fn or_made(&self, module: usize, name: &str, found: Vec<Target>) -> Vec<Target> {
        if !found.is_empty() || !self.tree.modules[module].more {
            return found;
        }
        vec![Target::Item(Item { module, name: name.to_owned(), member: None }, Definition::Type)]
    }

    /// All that a name stands for in a module: there is one namespace for types and one for values.
    fn look_up(&self, module: usize, name: &str, asked: &mut Asked) -> Vec<Target> {
        if !asked.insert((module, name.to_owned())) {
            return Vec::new();
        }
        let here = &self.tree.modules[module];
        let defined = here.definitions.get(name).into_iter().flatten().map(|definition| match definition {
            Definition::Module(number) => Target::Module(*number),
            other => Target::Item(Item { module, name: name.to_owned(), member: None }, other.clone()),
        });
        let mut found: Vec<Target> = defined.collect();
        for import in here.imports.get(name).into_iter().flatten() {
            found.extend(self.walk(module, &import.path, asked));
        }
        if found.is_empty() {
            for glob in &here.globs {
                found.extend(self.through(module, &glob.path, name, asked));
            }
        }
        asked.remove(&(module, name.to_owned()));
        found
    }

    /// What `path::*` means by a name.
    fn through(&self, module: usize, path: &[String], name: &str, asked: &mut Asked) -> Vec<Target> {
        let opened = self.walk(module, path, asked).into_iter();
        let named = |target| match target {
            Target::Module(opened) => self.look_up(opened, name, asked),
            Target::Item(item, Definition::Enum(variants)) if variants.iter().any(|variant| variant == name) => {
                vec![Target::Item(Item { member: Some(name.to_owned()), ..item }, Definition::Type)]
            }
            Target::Item(..) | Target::Outside => Vec::new(),
        };
        opened.flat_map(named).collect()
    }
}
