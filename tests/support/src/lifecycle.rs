//! Starting and ending the daemon, and everything that can happen to its node.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_test_images::{Registry, dies_with_parent};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::host::Host;
use crate::leaks::mounts_below;
use crate::run::{Output, output_of};
use crate::wait::{PATIENCE, eventually};
use crate::{cgroup, paths, process};

impl Daemon {
    /// Starts the daemon again, or for the first time, and waits until it serves.
    pub fn start(&mut self) -> Result<()> {
        self.start_by(self.serve_command()?)
    }

    /// The same on a node that has another boot id. Only the daemon and its children see it: the mount is in a
    /// namespace of their own, in which the test's directory stays shared ([`crate::DaemonBuilder::shared_mounts`]).
    pub fn start_with_boot_id(&mut self, boot_id: &str) -> Result<()> {
        ensure!(self.shared_mounts, "another boot id needs DaemonBuilder::shared_mounts");
        let file = self.dir.join("boot_id");
        fs::write(&file, format!("{boot_id}\n"))?;
        let script = "mount --make-private /proc && mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
        let mut command = dies_with_parent();
        command.args(["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script]).arg(file);
        command.args(self.serve_arguments()?);
        self.start_by(command)
    }

    /// Starts the daemon, which is expected to end by itself, and returns what it said.
    pub fn start_and_fail(&mut self) -> Result<Output> {
        let mut arguments = self.serve_arguments()?.into_iter();
        let program = arguments.next().context("no program")?;
        let output = output_of(program, arguments)?;
        if output.code == 0 || output.code == 124 {
            bail!("cofferdam serve did not refuse to start: exit {}\n{}", output.code, output.stderr);
        }
        Ok(output)
    }

    /// SIGKILL; pods go on.
    pub fn kill9(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { bail!("no daemon runs") };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub fn term(&mut self) -> Result<ExitStatus> {
        let Some(mut child) = self.child.take() else { bail!("no daemon runs") };
        process::signal(child.id(), Signal::TERM)?;
        let ended = eventually("end after SIGTERM", || Ok(child.try_wait()?.is_some()));
        if ended.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        ended.map(|()| status)
    }

    /// SIGKILL, then a new daemon.
    pub fn kill9_and_restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.start()
    }

    /// SIGHUP: reads the configuration again.
    pub fn reload(&self) -> Result<()> {
        process::signal(self.pid()?, Signal::HUP)
    }

    /// What a power cut leaves: every process gone, the state directory (a tmpfs on a real node), the mounts, the
    /// cgroups and the network empty. Only the root directory stays. Start again with [`Daemon::start_with_boot_id`].
    pub fn lose_power(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.kill9()?;
        }
        self.unplug()?;
        let _ = fs::remove_dir_all(self.state());
        self.plug_in()
    }

    /// Host and registry.
    pub(crate) fn plug_in(&mut self) -> Result<()> {
        let host = Host::create(&self.dir.join("netns"))?;
        self.registry = Some(Registry::start(Some(host.host.path()), &self.images)?);
        self.host = Some(host);
        Ok(())
    }

    /// Ends every process and removes what is held outside the directory, whoever left it.
    pub(crate) fn unplug(&mut self) -> Result<()> {
        self.registry = None;
        let netns: Vec<u64> = self.host.iter().flat_map(|host| [host.host.inode(), host.outside.inode()]).collect();
        let ended = eventually("all processes ended", || {
            // A zombie that is this process's own child is its business.
            let mut pids = process::pids_below(&self.dir, &self.cgroup_root, &netns);
            pids.retain(|pid| process::process_exists(*pid));
            for pid in &pids {
                process::signal(*pid, Signal::KILL)?;
            }
            Ok(pids.is_empty())
        });
        cgroup::remove_tree(&self.cgroup_root)?;
        cgroup::remove_tree(&format!("{}-kubelet", self.cgroup_root))?;
        self.host = None;
        let root = self.root().display().to_string();
        for point in mounts_below(&self.dir)?.iter().rev().filter(|point| **point != root) {
            let _ = unmount(point.as_str(), UnmountFlags::DETACH);
        }
        ended
    }

    fn serve_arguments(&self) -> Result<Vec<String>> {
        let path = |path: PathBuf| path.display().to_string();
        Ok(vec![
            "nsenter".to_owned(),
            format!("--net={}", self.netns_path().display()),
            path(paths::cofferdam()?),
            "serve".to_owned(),
            "--config".to_owned(),
            path(self.config_file()),
            "--root".to_owned(),
            path(self.root()),
            "--state".to_owned(),
            path(self.state()),
            "--socket".to_owned(),
            path(self.socket()),
        ])
    }

    fn serve_command(&self) -> Result<Command> {
        let mut command = dies_with_parent();
        command.args(self.serve_arguments()?);
        Ok(command)
    }

    fn start_by(&mut self, mut command: Command) -> Result<()> {
        if self.child.is_some() {
            bail!("the daemon runs already");
        }
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("start cofferdam serve")?);
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let crictl = self.crictl();
        let socket = self.socket();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                bail!("cofferdam serve ended: {status}\n{}", self.log_tail());
            }
            if socket.exists() && crictl.run(&["version"])?.code == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("cofferdam serve does not answer\n{}", self.log_tail())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last lines of {}\n{}", self.log_file().display(), self.log_tail());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Err(error) = self.unplug() {
            eprintln!("clean-up of {}: {error:#}", self.dir.display());
        }
        let _ = unmount(self.root(), UnmountFlags::DETACH);
        if self.shared_mounts {
            let _ = unmount(&self.dir, UnmountFlags::DETACH);
        }
        if std::env::var_os("COFFERDAM_KEEP").is_none() {
            // What a hostile test made may be deeper than a stack; rm does not recurse.
            let _ = output_of("rm", ["-rf".as_ref(), self.dir.as_os_str()]);
        }
    }
}
