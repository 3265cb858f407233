//! One module: what it defines, imports and names.

use std::collections::HashMap;

use syn::{Ident, ItemUse, UseTree, Visibility};

/// What a name stands for in the module that defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Definition {
    /// A module, by its number.
    Module(usize),
    /// An enum, and the names of its variants.
    Enum(Vec<String>),
    /// Any other type.
    Type,
    /// A trait: its methods are used without its name, so importing it all counts.
    Trait,
    /// A function, constant or static.
    Value,
    /// A macro by example.
    Macro,
}

/// One `use`, flattened.
#[derive(Debug, Clone)]
pub(super) struct Import {
    /// What is imported, as written.
    pub path: Vec<String>,
    /// It is visible outside the module: a re-export.
    pub exported: bool,
}

/// An `impl` without a trait.
#[derive(Debug)]
pub(super) struct Methods {
    /// The type, as written.
    pub of: Vec<String>,
    /// Names of methods, functions and constants.
    pub names: Vec<String>,
}

/// One module, be it a file's or an inline one.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The file that it is written in.
    pub file: String,
    /// The module that declares it; none: the crate's root.
    pub parent: Option<usize>,
    /// What it defines.
    pub definitions: HashMap<String, Vec<Definition>>,
    /// A macro is called where items stand, so it may define more than what is seen.
    pub more: bool,
    /// What it imports, by the name that it has here.
    pub imports: HashMap<String, Vec<Import>>,
    /// What it imports with `*`.
    pub globs: Vec<Import>,
    /// Blocks of methods.
    pub methods: Vec<Methods>,
    /// All that its code names.
    pub named: Vec<Named>,
}

/// Something that is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Named {
    /// By a path, as written; `Self` is replaced by the type.
    Path(Vec<String>),
    /// A method that is called on `self`: the type as written, and the name.
    Method(Vec<String>, String),
    /// A macro that is called without a path.
    Macro(String),
}

impl Module {
    /// Takes one `use` apart.
    pub(super) fn import(&mut self, item: &ItemUse) {
        if item.leading_colon.is_none() {
            let exported = !matches!(item.vis, Visibility::Inherited);
            self.flatten(&mut Vec::new(), &item.tree, exported);
        }
    }

    fn flatten(&mut self, prefix: &mut Vec<String>, tree: &UseTree, exported: bool) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.flatten(prefix, &path.tree, exported);
                prefix.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.flatten(prefix, tree, exported)),
            UseTree::Glob(_) => self.globs.push(Import { path: prefix.clone(), exported }),
            UseTree::Name(leaf) => self.leaf(prefix, &leaf.ident, &leaf.ident, exported),
            UseTree::Rename(leaf) => self.leaf(prefix, &leaf.ident, &leaf.rename, exported),
        }
    }

    fn leaf(&mut self, prefix: &[String], name: &Ident, here: &Ident, exported: bool) {
        let mut path = prefix.to_vec();
        let mut here = here.to_string();
        if name == "self" {
            here = if here == "self" { path.last().cloned().unwrap_or_default() } else { here };
        } else {
            path.push(name.to_string());
        }
        self.imports.entry(here).or_default().push(Import { path, exported });
    }
}
