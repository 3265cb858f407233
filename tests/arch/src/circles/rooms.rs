//! Folders of modules as rooms, and the circles between those of one level.

use std::collections::{BTreeMap, BTreeSet};

use super::arrows::{Arrows, Circle};

impl Arrows {
    /// Every circle of rooms of one level with a folder among them; those of files alone are [`Arrows::circles`]'.
    pub fn circles_of_rooms(&self) -> Vec<Circle> {
        let (mut levels, mut folders) = (BTreeMap::<&str, Arrows>::new(), BTreeSet::new());
        for (from, to, names) in self.iter() {
            let (from, to) = (module(from), module(to));
            folders.extend([from, to].iter().filter_map(|path| Some(path.rsplit_once('/')?.0)));
            let common = common(from, to);
            // A module and what is below it are one room: their files are looked at as files.
            if let (Some(from), Some(to)) = (room(from, common), room(to, common)) {
                levels.entry(&from[..common]).or_default().draw(from, to, names);
            }
        }
        let circles = levels.values().flat_map(Arrows::circles);
        circles.filter(|circle| circle.files.iter().any(|room| folders.contains(room.as_str()))).collect()
    }
}

/// A file's module as a path of names.
fn module(file: &str) -> &str {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    ["/mod", "/lib", "/main"].iter().find_map(|face| path.strip_suffix(face)).unwrap_or(path)
}

/// How far two paths go the same way, in whole names.
fn common(one: &str, other: &str) -> usize {
    let same = one.split('/').zip(other.split('/')).take_while(|(a, b)| a == b);
    same.map(|(name, _)| name.len() + 1).sum::<usize>().saturating_sub(1)
}

/// The path up to one name behind `common`; none: it ends there.
fn room(path: &str, common: usize) -> Option<&str> {
    let rest = path.get(common + 1..)?;
    Some(&path[..common + 1 + rest.find('/').unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_one_name_behind_what_is_common() {
        let (one, other) = (module("a/src/serve/mod.rs"), module("a/src/admin/pods.rs"));
        let common = common(one, other);
        assert_eq!((room(one, common), room(other, common)), (Some("a/src/serve"), Some("a/src/admin")));
        assert_eq!(room("a/src", 5), None);
    }
}
