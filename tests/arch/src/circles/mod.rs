//! Circles of files inside a crate, found in the source text.
//!
//! What counts: there is an arrow from file A to file B when A names an item that is *defined* in B: a type, trait,
//! function, constant, static, macro, or something that belongs to a type of B (`Kind::Variant`, `Type::new`). Names
//! are followed through imports and re-exports to where the item is defined, so a parent module that only declares its
//! children and re-exports their items has no arrow to them, and none from those who name the items by way of it. Where
//! the methods of a type are spread over files, `self.method()` and `Type::method` are arrows to the file with the
//! method.
//!
//! A folder of modules is a room: what its files name of another room of the same level is an arrow between the rooms.
//! So two folders can make a circle although their files do not.
//!
//! What does not count: tests (`#[cfg(test)]`), naming a module without an item of it, and calls of methods on anything
//! but `self`, since their types are not known from the text. A re-export of something that is not below the module is
//! an arrow.

mod arrows;
mod attributes;
mod module;
mod names;
mod resolve;
mod rooms;
mod tokens;
mod tree;

pub use arrows::{Arrows, Circle};
pub use tree::Tree;
