//! The programs that the daemon's binary is besides: it starts itself again as them.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// First argument of the confined child that unpacks a layer.
pub const UNPACK: &str = "__unpack-layer";
/// First argument of the process that keeps the nftables socket.
pub const HOLDER: &str = "__nft-holder";

/// The running program, also after its file was replaced by an upgrade.
pub const SELF: &str = "/proc/self/exe";

/// Runs one of them, if the arguments (without the program's name) ask for it. Must come before any thread is started.
pub fn reexec(args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args;
    let first = args.next()?;
    if first == OsStr::new(UNPACK) {
        // An argument that is no text is none that the daemon gives.
        let args: Vec<String> = args.filter_map(|arg| arg.into_string().ok()).collect();
        return Some(cofferdam_image::unpack_main(&args));
    }
    if first == OsStr::new(HOLDER) {
        return Some(match cofferdam_netpolicy_nft::holder_main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("cofferdam: holder of the nftables socket: {error}");
                ExitCode::FAILURE
            }
        });
    }
    None
}
