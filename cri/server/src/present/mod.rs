//! What clients are shown: from records to CRI's messages and to JSON. Pure; nothing here asks or changes anything.

pub(crate) mod containers;
pub(crate) mod filters;
pub(crate) mod images;
pub(crate) mod node;
pub(crate) mod pods;
pub(crate) mod stats;
