//! `vm-image build`: the guest's kernel and initramfs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use cofferdam_vm::image::{BuildConfig, KernelSource, build};
use indicatif::ProgressBar;

use super::error::CliError;
use super::output::{bytes, print};
use crate::config::load;

/// Of Cofferdam's programs: each is beside the others.
const AGENT: &str = "cofferdam-agent";
/// Packages that were downloaded, unless told otherwise.
const CACHE: &str = "/var/cache/cofferdam";

/// `vm-image`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build it into `[vm] image_dir`; quick when nothing has changed
    Build(BuildArgs),
}

/// Options of `vm-image build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Configuration; drop-ins are in FILE.d [default: /etc/cofferdam/config.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A kernel package (.deb), or with --modules a bzImage [default: the newest installed cloud kernel, else Debian's
    /// package]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel's modules, a directory like /lib/modules/RELEASE
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
    /// The agent, a static program [default: cofferdam-agent beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Where packages are downloaded to and unpacked
    #[arg(long, value_name = "DIR", default_value = CACHE)]
    cache: PathBuf,
}

/// Runs it.
pub fn run(Command::Build(args): Command) -> Result<u8, CliError> {
    let config = load(args.config.as_deref())?;
    let kernel = match (args.kernel, args.modules) {
        (None, _) => KernelSource::Auto,
        (Some(package), None) => KernelSource::Package(package),
        (Some(kernel), Some(modules)) => KernelSource::Files { kernel, modules },
    };
    let agent = match args.agent {
        Some(agent) => agent,
        None => beside(AGENT)?,
    };
    let spinner = ProgressBar::new_spinner().with_message("building the guest image");
    spinner.enable_steady_tick(Duration::from_millis(120));
    let report = build(&BuildConfig { image_dir: config.vm.image_dir, kernel, agent, cache: args.cache });
    spinner.finish_and_clear();
    let report = report?;
    let manifest = &report.image.manifest;
    print(&format!(
        "{}: kernel {} ({}), initramfs {}{}",
        report.image.kernel.parent().unwrap_or(&report.image.kernel).display(),
        manifest.kernel_release,
        bytes(manifest.kernel_bytes),
        bytes(manifest.initramfs_bytes),
        if report.cached { ", unchanged" } else { "" },
    ))?;
    Ok(0)
}

fn beside(name: &str) -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().map_err(|e| CliError::Other(format!("own program: {e}")))?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(CliError::Other(format!("{} does not exist; --agent names another one", path.display())))
}
