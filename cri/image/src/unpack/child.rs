//! The confined child: reads a compressed tar from standard input, unpacks it into its working directory, and reports.

use std::io::{Read, Write};
use std::process::ExitCode;

use super::decode::Decoder;
use super::report::{Failure, Limits, Refusal, RefusalKind, Report};
use super::stream::Stream;
use super::tree::Tree;
use super::{confine, entry};
use crate::names;

/// The program of [`crate::Helper`]. `args`: what follows the helper's own arguments.
///
/// Needs root: it makes the working directory its root in a mount namespace of its own, with no network, and keeps only
/// the capabilities to own and mark files.
pub fn unpack_main(args: &[String]) -> ExitCode {
    let outcome = run(args);
    let failed = outcome.is_err();
    let text = serde_json::to_vec(&outcome).unwrap_or_default();
    let written = std::io::stdout().write_all(&text).is_ok();
    if failed || !written { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(args: &[String]) -> Result<Report, Refusal> {
    let limits = limits(args).ok_or_else(|| Refusal {
        kind: RefusalKind::Failed,
        text: "usage: (compressed tar) | unpack-layer BYTES INODES".into(),
    })?;
    confine::enter().map_err(|text| Refusal { kind: RefusalKind::Failed, text })?;
    unpack(std::io::stdin(), &limits)
}

fn limits(args: &[String]) -> Option<Limits> {
    let [bytes, inodes] = args else { return None };
    Some(Limits { bytes: bytes.parse().ok()?, inodes: inodes.parse().ok()? })
}

/// Unpacks into the root directory of this process.
fn unpack(input: impl Read + Send + 'static, limits: &Limits) -> Result<Report, Refusal> {
    let mut stream = Stream::new(Decoder::start(input, limits));
    let mut tree = Tree::open(limits)?;
    entries(&mut tree, &mut stream).map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal,
        Failure::Read(e) => stream
            .input()
            .refusal()
            .unwrap_or_else(|| Refusal { kind: RefusalKind::Invalid, text: format!("layer: {e}") }),
    })?;
    let done = tree.finish()?;
    Ok(Report {
        diff_id: names::digest_of(stream.input().hash()),
        bytes: done.bytes,
        inodes: done.inodes,
        opaque: done.opaque,
        implied: done.implied,
        devices: done.devices,
    })
}

fn entries(tree: &mut Tree, stream: &mut Stream<Decoder>) -> Result<(), Failure> {
    while let Some(item) = stream.next().map_err(Failure::Read)? {
        entry::apply(tree, &item, stream)?;
    }
    // What follows the tar's end belongs to the digest.
    std::io::copy(stream.input(), &mut std::io::sink()).map_err(Failure::Read)?;
    Ok(())
}
