//! Network policy: types, the evaluator, the compiler (snapshot to rules), the diff. Pure.

pub mod backend;
pub mod diff;
pub mod ir;
