//! The event loop that serves the pod protocol: containers, execs, stdio, logs, exits.
