//! Network policy: types, the evaluator, the compiler (snapshot to rules), the diff. Pure.
