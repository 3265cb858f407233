//! A crate's modules, read from the file that it begins with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use syn::{Ident, Item};

use super::module::{Definition, Module};
use super::{attributes, names};

/// All modules of a crate; the first is its root.
#[derive(Debug, Default)]
pub struct Tree {
    pub(super) modules: Vec<Module>,
}

/// Where a file's text is.
type Load<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Tree {
    /// Reads a crate from the file of its root on. `load` answers a file's text, if there is such a file.
    ///
    /// # Errors
    /// A file that is declared is missing, is no Rust, or lies where only `#[path]` says.
    pub fn read(root: &Path, load: &dyn Fn(&Path) -> Option<String>) -> Result<Tree> {
        let mut tree = Tree::default();
        let dir = root.parent().unwrap_or(Path::new(""));
        let text = load(root).with_context(|| format!("{} is missing", root.display()))?;
        tree.file(root, dir, &text, None, load)?;
        Ok(tree)
    }

    /// Reads a file as a module; `dir` is where files of its children lie. Answers the module's number.
    fn file(&mut self, path: &Path, dir: &Path, text: &str, parent: Option<usize>, load: Load<'_>) -> Result<usize> {
        let file = syn::parse_file(text).with_context(|| path.display().to_string())?;
        self.module(&path.display().to_string(), dir, &file.items, parent, load)
    }

    fn module(
        &mut self,
        file: &str,
        dir: &Path,
        items: &[Item],
        parent: Option<usize>,
        load: Load<'_>,
    ) -> Result<usize> {
        let number = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, ..Module::default() });
        for item in items.iter().filter(|item| !attributes::only_for_tests(attributes::of_item(item))) {
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let below = dir.join(&name);
                    let child = match &child.content {
                        Some((_, items)) => self.module(file, &below, items, Some(number), load)?,
                        None if child.attrs.iter().any(|a| a.path().is_ident("path")) => {
                            bail!("{file}: mod {name}: #[path] is not read")
                        }
                        None => {
                            let (path, text) = find(&below, load).with_context(|| format!("{file}: mod {name}"))?;
                            self.file(&path, &below, &text, Some(number), load)?
                        }
                    };
                    self.define(number, name, Definition::Module(child));
                }
                other => self.item(number, other),
            }
        }
        Ok(number)
    }

    fn item(&mut self, number: usize, item: &Item) {
        if let Some((name, definition)) = definition(item) {
            self.define(number, name.to_string(), definition);
        }
        self.modules[number].more |= matches!(item, Item::Macro(call) if call.ident.is_none());
        names::collect(&mut self.modules[number], item);
    }

    fn define(&mut self, module: usize, name: String, definition: Definition) {
        self.modules[module].definitions.entry(name).or_default().push(definition);
    }
}

/// `x.rs` or `x/mod.rs`.
fn find(below: &Path, load: Load<'_>) -> Result<(PathBuf, String)> {
    let mut candidates = [below.with_extension("rs"), below.join("mod.rs")].into_iter();
    let found = candidates.find_map(|path| load(&path).map(|text| (path, text)));
    found.with_context(|| format!("neither {0}.rs nor {0}/mod.rs exists", below.display()))
}

fn definition(item: &Item) -> Option<(&Ident, Definition)> {
    Some(match item {
        Item::Const(item) => (&item.ident, Definition::Value),
        Item::Static(item) => (&item.ident, Definition::Value),
        Item::Fn(item) => (&item.sig.ident, Definition::Value),
        Item::Enum(item) => {
            (&item.ident, Definition::Enum(item.variants.iter().map(|v| v.ident.to_string()).collect()))
        }
        Item::Struct(item) => (&item.ident, Definition::Type),
        Item::Type(item) => (&item.ident, Definition::Type),
        Item::Union(item) => (&item.ident, Definition::Type),
        Item::Trait(item) => (&item.ident, Definition::Trait),
        Item::TraitAlias(item) => (&item.ident, Definition::Trait),
        Item::Macro(item) => (item.ident.as_ref()?, Definition::Macro),
        _ => return None,
    })
}
