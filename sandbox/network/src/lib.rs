//! Pod networks: the built-in routed network and its address management.
