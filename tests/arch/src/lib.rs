//! Tests of the architecture: dependency directions, house rules.
