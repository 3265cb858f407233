//! Sandboxes: traits, specs, states, errors. No I/O.
