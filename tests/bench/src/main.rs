//! Benchmarks against containerd and a bare QEMU, in the same run.
//!
//! Only ratios of one run on an idle machine count. A goal that is missed is shown, not an error; a step that fails is
//! one.

mod cri;
mod memory;
mod namespace;
mod pod;
mod table;
mod vm;

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_test_support::{Containerd, Daemon, ensure_vm_image};

use namespace::{Helpers, Runtime};

const USAGE: &str = "usage: cofferdam-bench [--n N] [--only cofferdam|containerd|vm]";

/// Pods that run while memory is measured.
const PODS: usize = 10;

struct Args {
    n: usize,
    only: Option<String>,
}

impl Args {
    fn parse() -> Result<Self> {
        let mut args = Args { n: 40, only: None };
        let mut rest = std::env::args().skip(1);
        while let Some(arg) = rest.next() {
            let value = rest.next().context(USAGE)?;
            match arg.as_str() {
                "--n" => args.n = value.parse().context(USAGE)?,
                "--only" => args.only = Some(value),
                _ => bail!(USAGE),
            }
        }
        ensure!(args.n > 0, USAGE);
        Ok(args)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() -> Result<()> {
    let args = Args::parse()?;
    ensure!(rustix::process::geteuid().is_root(), "needs root");
    let daemon = if args.wants("cofferdam") || args.wants("vm") {
        ensure_vm_image()?;
        Some(Daemon::builder("bench").start().context("start cofferdam")?)
    } else {
        None
    };
    let containerd = if args.wants("containerd") { Some(Containerd::debian("bench")?) } else { None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let compared = daemon.as_ref().filter(|_| args.wants("cofferdam"));
    runtime.block_on(namespaces(&args, compared, containerd.as_ref()))?;
    drop(containerd);
    if let Some(daemon) = daemon.as_ref().filter(|_| args.wants("vm")) {
        // Each boot takes seconds where it is emulated.
        runtime.block_on(vm::compare(daemon, args.n.min(10)))?;
    }
    Ok(())
}

async fn namespaces(args: &Args, daemon: Option<&Daemon>, containerd: Option<&Containerd>) -> Result<()> {
    let mut ours = match daemon {
        Some(d) => Some(Runtime::new(&d.socket(), "namespace", d.cgroup_root(), d.dir()).await?),
        None => None,
    };
    let mut theirs = match containerd {
        Some(c) => Some(Runtime::new(&c.socket(), "", c.cgroup_root(), c.dir()).await?),
        None => None,
    };
    for runtime in [&mut ours, &mut theirs].into_iter().flatten() {
        println!("{}", runtime.version().await?);
    }
    let measured = measure(args, (&mut ours, daemon), (&mut theirs, containerd)).await;
    if measured.is_err() {
        for runtime in [&mut ours, &mut theirs].into_iter().flatten() {
            namespace::clear(runtime).await?;
        }
    }
    measured?;
    if ours.is_some() || theirs.is_some() {
        namespace::print(ours.as_ref(), theirs.as_ref(), args.n, PODS);
    }
    Ok(())
}

async fn measure(
    args: &Args,
    (ours, daemon): (&mut Option<Runtime>, Option<&Daemon>),
    (theirs, containerd): (&mut Option<Runtime>, Option<&Containerd>),
) -> Result<()> {
    let mut both: Vec<&mut Runtime> = [&mut *ours, &mut *theirs].into_iter().flatten().collect();
    namespace::times(&mut both, args.n).await?;
    if let (Some(runtime), Some(daemon)) = (ours, daemon) {
        namespace::memory(runtime, PODS, daemon.pid()?, Helpers::Shims).await?;
    }
    if let (Some(runtime), Some(containerd)) = (theirs, containerd) {
        let find = || containerd.helpers();
        namespace::memory(runtime, PODS, containerd.pid()?, Helpers::Found(&find)).await?;
    }
    Ok(())
}
