//! The container runner, used by shim and guest alike.
