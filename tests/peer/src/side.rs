//! One of the two runtimes, as a case sees it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cofferdam_test_support::{Cgroup, Netns};
use serde_json::{Value, json};

use crate::cri::{Answer, Client, describe};
use crate::normalise::{Known, normalise};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Cofferdam.
    Ours,
    /// containerd.
    Theirs,
}

/// A runtime that serves, and the places that belong to it.
#[derive(Debug)]
pub struct Side {
    /// Which.
    pub who: Who,
    /// Its client.
    pub client: Client,
    /// Pods' cgroups live below it.
    pub cgroup_root: String,
    /// The runtime handler of its pods.
    pub handler: String,
    /// A directory of the run, for volumes and logs.
    pub dir: PathBuf,
    /// Its host's network namespace.
    pub netns: PathBuf,
}

impl Side {
    /// Where a pod's logs go.
    pub fn logs(&self, pod: &str) -> Result<PathBuf> {
        let dir = self.dir.join("logs").join(pod);
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }

    /// A directory on the host, to be mounted.
    pub fn volume(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join("volumes").join(name);
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }

    /// The cgroup of a pod, made as kubelet makes it.
    pub fn pod_cgroup(&self, pod: &str) -> Result<Cgroup> {
        Cgroup::create(&format!("{}/{pod}", self.cgroup_root))
    }

    /// Calls a method.
    pub async fn call(&self, method: &str, request: Value) -> Result<Answer> {
        self.client.call(method, request).await.with_context(|| format!("{:?}: {method}", self.who))
    }

    /// Calls a method and describes what came of it: the answer normalised, or the error.
    pub async fn observe(&self, method: &str, request: Value, known: &Known) -> Result<Value> {
        Ok(match self.call(method, request).await? {
            Ok(answer) => normalise(&answer, known),
            Err(failure) => {
                if std::env::var_os("COFFERDAM_PEER_MESSAGES").is_some() {
                    eprintln!("{:?}: {method}: {failure}", self.who);
                }
                json!({"error": describe(&failure)})
            }
        })
    }

    /// What stands for the places of this side.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        known.add(&self.dir.display().to_string(), "dir");
        known.add(&self.cgroup_root, "cgroup root");
        known
    }

    /// Pulls an image of the registry that the case needs and that has to be there.
    pub async fn pull(&self, image: &str) -> Result<()> {
        let answer = self.call("PullImage", json!({"image": {"image": image}})).await?;
        answer.map(|_| ()).with_context(|| format!("pull {image}"))
    }

    /// The network namespace, to be entered.
    pub fn host(&self) -> &Path {
        &self.netns
    }

    pub(crate) fn of(who: Who, client: Client, netns: &Netns, cgroup_root: &str, dir: &Path, handler: &str) -> Self {
        Self {
            who,
            client,
            cgroup_root: cgroup_root.to_owned(),
            handler: handler.to_owned(),
            dir: dir.to_owned(),
            netns: netns.path().to_owned(),
        }
    }
}
