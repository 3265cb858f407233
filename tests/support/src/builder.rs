//! What is made before a daemon starts: directories, configuration, objects.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use cofferdam_test_images::storage;

use crate::cluster::ClusterDir;
use crate::daemon::Daemon;
use crate::paths;
use crate::run::run;

/// How a daemon is to be started.
#[derive(Debug)]
pub struct DaemonBuilder {
    name: String,
    fragments: Vec<String>,
    images: Option<PathBuf>,
    root_size: Option<String>,
    shared_mounts: bool,
    objects: Vec<(String, String)>,
    env: Vec<(String, String)>,
    mirrors: Vec<String>,
}

impl Daemon {
    /// `name` goes into directory and cgroup names.
    pub fn builder(name: &str) -> DaemonBuilder {
        DaemonBuilder {
            name: name.to_owned(),
            fragments: Vec::new(),
            images: None,
            root_size: None,
            shared_mounts: false,
            objects: Vec::new(),
            env: Vec::new(),
            mirrors: Vec::new(),
        }
    }
}

impl DaemonBuilder {
    /// A drop-in of the configuration, as TOML; later ones win.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.fragments.push(toml.to_owned());
        self
    }

    /// A file of the cluster directory, there before the daemon starts.
    #[must_use]
    pub fn cluster(mut self, name: &str, yaml: &str) -> Self {
        self.objects.push((name.to_owned(), yaml.to_owned()));
        self
    }

    /// Has the test's registry asked for what a registry such as `registry.k8s.io` holds, by the same names.
    #[must_use]
    pub fn mirror(mut self, registry: &str) -> Self {
        self.mirrors.push(registry.to_owned());
        self
    }

    /// Another registry storage, such as a broken copy.
    #[must_use]
    pub fn images(mut self, storage: &Path) -> Self {
        self.images = Some(storage.to_owned());
        self
    }

    /// Puts `--root` on a tmpfs of this size (`64m`), to fill it.
    #[must_use]
    pub fn root_size(mut self, size: &str) -> Self {
        self.root_size = Some(size.to_owned());
        self
    }

    /// Makes sure that the handler `vm` has its kernel and initramfs.
    pub fn with_vm(self) -> Result<Self> {
        paths::ensure_vm_image()?;
        Ok(self)
    }

    /// Makes the test's directory a shared mount, as `/` is under systemd (here it is private): needed for another boot
    /// id.
    #[must_use]
    pub fn shared_mounts(mut self) -> Self {
        self.shared_mounts = true;
        self
    }

    /// An environment variable of the daemon.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Makes host, registry, directories and configuration, but starts no daemon.
    pub fn prepare(self) -> Result<Daemon> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed), self.name);
        let dir = std::env::temp_dir().join(format!("cofferdam-test-{id}"));
        if self.shared_mounts {
            fs::create_dir_all(&dir)?;
            let path = dir.display().to_string();
            run("mount", ["--bind", &path, &path])?;
            run("mount", ["--make-shared", &path])?;
        }
        for sub in ["netns", "root", "config.toml.d"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let mut daemon = Daemon {
            child: None,
            registry: None,
            host: None,
            images: self.images.map_or_else(storage, Ok)?,
            cgroup_root: format!("/cofferdam-test-{id}"),
            cluster: ClusterDir::create(dir.join("cluster.d"))?,
            dir,
            env: self.env,
            shared_mounts: self.shared_mounts,
        };
        if let Some(size) = self.root_size {
            let root = daemon.root().display().to_string();
            run("mount", ["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs", &root])?;
        }
        write_config(&daemon, &self.fragments)?;
        for registry in self.mirrors.iter().map(String::as_str).chain(["127.0.0.1:5000"]) {
            write_hosts(&daemon, registry)?;
        }
        for (name, yaml) in &self.objects {
            daemon.cluster.write(name, yaml)?;
        }
        daemon.plug_in()?;
        Ok(daemon)
    }

    /// The same, and waits until the daemon serves.
    pub fn start(self) -> Result<Daemon> {
        let mut daemon = self.prepare()?;
        daemon.start()?;
        Ok(daemon)
    }
}

fn write_config(daemon: &Daemon, fragments: &[String]) -> Result<()> {
    let dir = daemon.dir();
    let config = format!(
        "[cgroup]\nroot = \"{}\"\n\n[cluster]\nsource = \"directory\"\ndirectory = \"{}\"\n\n\
         [registry]\nconfig_path = \"{}\"\n\n[vm]\nimage_dir = \"{}\"\n\n\
         [kubelet]\nroot_dirs = [\"{}\"]\n",
        daemon.cgroup_root(),
        daemon.cluster().path().display(),
        dir.join("certs.d").display(),
        paths::vm_image_dir().display(),
        daemon.kubelet_dir().display(),
    );
    fs::write(daemon.config_file(), config)?;
    for (number, fragment) in fragments.iter().enumerate() {
        fs::write(dir.join(format!("config.toml.d/{number:02}.toml")), fragment)?;
    }
    Ok(())
}

/// Where the images of a registry come from: the test's own one, for every name, so that nothing goes out when it lacks
/// an image.
fn write_hosts(daemon: &Daemon, registry: &str) -> Result<()> {
    let dir = daemon.dir().join("certs.d").join(registry);
    fs::create_dir_all(&dir)?;
    let hosts = "server = \"http://127.0.0.1:5000\"\n\n\
                 [host.\"http://127.0.0.1:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n";
    fs::write(dir.join("hosts.toml"), hosts)?;
    Ok(())
}
