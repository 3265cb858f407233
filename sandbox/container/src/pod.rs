//! A pod: its namespaces, and the containers made in them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::{Rc, Weak};

use cofferdam_pod_api::{ContainerSpec, GuestSetup, NamespaceMode, ShimConfig, ShimNamespaces, Stats};
use cofferdam_sys::process::{self, CLONE_NEWNET};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::cgroup::{Cgroup, Hierarchies};
use crate::container::Container;
use crate::error::Step;
use crate::launch::{self, PidPlace, Plan};
use crate::namespaces::{PodNamespaceFds, reap, unpin};
use crate::stdio::Launched;
use crate::wire::{Channel, Message};
use crate::{Error, check, init, shm};

/// The cgroup of a shared PID namespace's init, below the pod's. Two attempts of a pod have one parent, so it ends with
/// the sandbox's id.
const INIT_CGROUP: &str = "sandbox-init";

/// A pod's namespaces and what is made in them. Dropping it leaves the pod as it is; `close` ends it.
#[derive(Debug)]
pub struct PodRunner {
    namespaces: Rc<PodNamespaceFds>,
    cgroup: Cgroup,
    init_cgroup: Option<Cgroup>,
    netns: Option<PathBuf>,
    shm: Option<PathBuf>,
    /// The first processes of containers, for those that join their PID namespace.
    first: BTreeMap<String, Weak<OwnedFd>>,
}

impl PodRunner {
    /// On a node: makes the pod's namespaces, its cgroup where that is missing, and its `/dev/shm` as `shm` in the
    /// pod's directory.
    ///
    /// # Errors
    /// What cannot be given, and steps that fail. Nothing is left then.
    pub fn new(plan: &ShimNamespaces, config: &ShimConfig) -> Result<Self, Error> {
        let mut namespaces = PodNamespaceFds::make(plan)?;
        let netns = plan.netns.clone().filter(|_| namespaces.net.is_some());
        let shm = (plan.namespaces.ipc == NamespaceMode::Pod).then(|| config.dir.join("shm"));
        let mounted = shm.as_ref().map_or(Ok(()), |path| shm::mount(path, plan.shm_size, &namespaces));
        match mounted.and_then(|()| Self::init(&mut namespaces, &plan.init_seccomp, &config.cgroup, &config.id)) {
            Ok((cgroup, init_cgroup)) => Ok(PodRunner {
                namespaces: Rc::new(namespaces),
                cgroup,
                init_cgroup,
                netns,
                shm,
                first: BTreeMap::new(),
            }),
            Err(error) => {
                // The first error is the one to tell.
                drop(netns.map(|path| unpin(&path)));
                drop(shm.map(|path| shm::unmount(&path)));
                Err(error)
            }
        }
    }

    /// In a guest, whose network, IPC and host name are the pod's; the agent has set them up, and mounted the cgroups.
    ///
    /// # Errors
    /// Steps that fail.
    pub fn in_guest(setup: &GuestSetup, cgroup: &str) -> Result<Self, Error> {
        let mut namespaces = PodNamespaceFds::node(setup.pid);
        let (cgroup, init_cgroup) = Self::init(&mut namespaces, &setup.init_seccomp, cgroup, &setup.id)?;
        Ok(PodRunner {
            namespaces: Rc::new(namespaces),
            cgroup,
            init_cgroup,
            netns: None,
            shm: None,
            first: BTreeMap::new(),
        })
    }

    fn init(
        pod: &mut PodNamespaceFds,
        program: &[u8],
        cgroup: &str,
        id: &str,
    ) -> Result<(Cgroup, Option<Cgroup>), Error> {
        let hierarchies = Hierarchies::detect()?;
        let of_pod = Cgroup::new(hierarchies.clone(), cgroup)?;
        of_pod.make()?;
        if pod.pid != NamespaceMode::Pod {
            return Ok((of_pod, None));
        }
        let own = Cgroup::new(hierarchies, &format!("{}/{INIT_CGROUP}-{id}", of_pod.path))?;
        match own.make().and_then(|()| pod.start_init(program, &own)) {
            Ok(()) => Ok((of_pod, Some(own))),
            Err(error) => {
                drop(own.kill());
                if let Some(init) = &pod.init {
                    drop(reap(&init.pidfd));
                }
                drop(own.remove());
                Err(error)
            }
        }
    }

    /// Sets a container up to just before execve.
    ///
    /// # Errors
    /// [`Error::Refused`] for a field that cannot be honoured; steps that fail. Nothing is left then.
    pub fn create(&mut self, spec: &ContainerSpec) -> Result<(Container, Launched), Error> {
        check(spec)?;
        let path =
            spec.oci.linux().as_ref().and_then(|l| l.cgroups_path().as_ref()).map(|p| p.to_string_lossy().into_owned());
        let path = path.ok_or_else(|| Error::refused("linux.cgroupsPath", "is missing"))?;
        let cgroup = Cgroup::new(self.cgroup.hierarchies.clone(), &path)?;
        let target = self.target(spec)?;
        let place = match (&target, self.namespaces.pid, &self.namespaces.init) {
            (Some(pidfd), _, _) => PidPlace::Join(pidfd.as_fd()),
            (None, NamespaceMode::Pod, Some(init)) => PidPlace::Join(init.pidfd.as_fd()),
            (None, NamespaceMode::Node, _) => PidPlace::Node,
            _ => PidPlace::New,
        };
        let made = Self::limit(spec, &cgroup).and_then(|()| {
            let shared = target.is_none() && matches!(place, PidPlace::Join(_));
            launch::container(&Plan { spec, pod: &self.namespaces, cgroup: &cgroup, place, shared })
        });
        match made {
            Ok((launched, channel)) => {
                let pidfd = launched.pidfd.try_clone().step("duplicate a pidfd")?;
                let first = Rc::new(pidfd);
                self.first.retain(|_, pidfd| pidfd.strong_count() > 0);
                self.first.insert(spec.id.clone(), Rc::downgrade(&first));
                Ok((Container::new(spec, cgroup, self.namespaces.clone(), first, channel), launched))
            }
            Err(error) => {
                // The first error is the one to tell.
                drop(cgroup.remove());
                Err(error)
            }
        }
    }

    fn limit(spec: &ContainerSpec, cgroup: &Cgroup) -> Result<(), Error> {
        cgroup.make()?;
        match spec.oci.linux().as_ref().and_then(|l| l.resources().as_ref()) {
            Some(resources) => cgroup.apply(resources).and_then(|()| cgroup.apply_devices(resources)),
            None => Ok(()),
        }
    }

    fn target(&self, spec: &ContainerSpec) -> Result<Option<Rc<OwnedFd>>, Error> {
        let Some(id) = &spec.pid_target else { return Ok(None) };
        let found = self.first.get(id).and_then(Weak::upgrade);
        found.map(Some).ok_or_else(|| Error::refused("pid_target", format!("this pod has no container {id}")))
    }

    /// A new TCP socket in the pod's network namespace, neither connected nor blocking, of the family of this address.
    ///
    /// # Errors
    /// Steps that fail.
    pub fn socket(&self, address: &SocketAddr) -> Result<OwnedFd, Error> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || socket_with(family, SocketType::STREAM, flags, None).step("make a socket in the pod");
        let Some(net) = &self.namespaces.net else { return make() };
        let (ours, theirs) = Channel::pair()?;
        let child = process::spawn(0, None, || {
            let made = process::setns(net.as_fd(), CLONE_NEWNET).step("join the pod's network").and_then(|()| make());
            match made.and_then(|socket| theirs.send_ready(Some(&socket))) {
                Ok(()) => 0,
                Err(error) => {
                    theirs.send_error(&error);
                    1
                }
            }
        })
        .step("make a socket in the pod")?;
        drop(theirs);
        let answer = ours.receive();
        reap(&child.pidfd)?;
        match answer? {
            Message::Ready(Some(socket)) => Ok(socket),
            Message::Failed(error) => Err(error),
            _ => Err(Error::failed("make a socket in the pod", "the child ended early")),
        }
    }

    /// Resource use of the whole pod.
    pub fn stats(&self) -> Stats {
        self.cgroup.stats()
    }

    /// The init of a shared PID namespace: its death is the pod's.
    pub fn init_pidfd(&self) -> Option<&OwnedFd> {
        self.namespaces.init.as_ref().map(|init| &init.pidfd)
    }

    /// Ends the pod: its init, that one's cgroup, and the pinned network namespace. Idempotent; containers are removed
    /// before.
    ///
    /// # Errors
    /// Steps that fail; the rest is done all the same.
    pub fn close(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        if let Some(cgroup) = self.init_cgroup.take() {
            let ended = self.namespaces.init.as_ref().map_or(Ok(()), |init| init::end(&init.pidfd));
            result = ended.and(cgroup.remove());
        }
        let unpinned = self.netns.take().map_or(Ok(()), |path| unpin(&path));
        let unmounted = self.shm.take().map_or(Ok(()), |path| shm::unmount(&path));
        result.and(unpinned).and(unmounted)
    }
}
