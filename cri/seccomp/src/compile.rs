//! From a profile to BPF, by libseccomp.

use std::fs::File;
use std::io::{Read, Seek};

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use crate::profile::{Profile, When};
use crate::prologue;

/// libseccomp refused something.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Names the step.
    #[error("{0}: {1}")]
    Seccomp(&'static str, libseccomp::error::SeccompError),
    /// The compiled program could not be read back.
    #[error("read the compiled program: {0}")]
    Io(#[from] std::io::Error),
}

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

pub(crate) fn compile(profile: &Profile) -> Result<Vec<u8>, CompileError> {
    let step = |what| move |e| CompileError::Seccomp(what, e);
    let mut filter = ScmpFilterContext::new(ScmpAction::Errno(EPERM)).map_err(step("new filter"))?;
    // 32-bit programs and x32 have other numbers for the same calls.
    for arch in [ScmpArch::X86, ScmpArch::X32] {
        if cfg!(target_arch = "x86_64") {
            filter.add_arch(arch).map_err(step("add architecture"))?;
        }
    }
    // Binary search instead of a linear list: every call of the container passes here.
    filter.set_ctl_optimize(2).map_err(step("optimise"))?;
    for name in &profile.allow {
        allow(&mut filter, name, &[])?;
    }
    for (name, when) in &profile.allow_when {
        allow(&mut filter, name, &[comparison(*when)])?;
    }
    for name in &profile.enosys {
        if let Ok(call) = ScmpSyscall::from_name(name) {
            filter.add_rule(ScmpAction::Errno(ENOSYS), call).map_err(step("add rule"))?;
        }
    }
    let program = export(&filter)?;
    Ok(prologue::before(&program, &|name| profile.allow.contains(name)))
}

/// A call that this libseccomp does not know cannot be allowed by name: the prologue has the numbers of the newer ones.
fn allow(filter: &mut ScmpFilterContext, name: &str, arguments: &[ScmpArgCompare]) -> Result<(), CompileError> {
    let Ok(call) = ScmpSyscall::from_name(name) else { return Ok(()) };
    let added = if arguments.is_empty() {
        filter.add_rule(ScmpAction::Allow, call).map(|_| ())
    } else {
        filter.add_rule_conditional(ScmpAction::Allow, call, arguments).map(|_| ())
    };
    added.map_err(|e| CompileError::Seccomp("add rule", e))
}

fn comparison(when: When) -> ScmpArgCompare {
    match when {
        When::Masked { argument, mask, value } => {
            ScmpArgCompare::new(argument, ScmpCompareOp::MaskedEqual(mask), value)
        }
        When::Equal { argument, value } => ScmpArgCompare::new(argument, ScmpCompareOp::Equal, value),
    }
}

/// libseccomp 2.5 writes only to files.
fn export(filter: &ScmpFilterContext) -> Result<Vec<u8>, CompileError> {
    let mut file = anonymous_file()?;
    filter.export_bpf(&file).map_err(|e| CompileError::Seccomp("export", e))?;
    let mut program = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut program)?;
    Ok(program)
}

fn anonymous_file() -> std::io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("seccomp", rustix::fs::MemfdFlags::CLOEXEC)?))
}
