//! What the end-to-end tests share: hosts, daemons, clients, leak checks.
