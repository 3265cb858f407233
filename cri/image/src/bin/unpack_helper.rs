//! The confined child by itself, for this crate's tests: the daemon re-executes its own program instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    cofferdam_image::unpack_main(&args)
}
