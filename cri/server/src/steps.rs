//! What a pod sandbox and a container are made of, as lists: the order in which the steps are done, and the order in
//! which they are undone.
//!
//! A creation does its rows one after the other, the steps of one row at the same time. When one fails, and when
//! recovery finds a record whose creation was cut off anywhere, *all* of the undo list is walked: every undo is
//! idempotent, so nobody has to know how far a creation came.

use std::future::Future;

use futures::future::join_all;
use tonic::async_trait;

use crate::error::Error;

/// A step of RunPodSandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodStep {
    /// The intent is in the store: from here on recovery knows of the sandbox.
    Record,
    /// Addresses and the name of the interface are taken, and kept in the record.
    Addresses,
    /// The directory with resolv.conf, hosts and hostname.
    Files,
    /// The pod's network policy is in force.
    Rules,
    /// Cgroups, namespaces and the shim (or the VMM).
    Sandbox,
    /// Limits of a cgroup that nobody else limits.
    Limits,
    /// The link is made, and set up: packets may flow.
    Link,
    /// The sandbox takes its link; a VM boots.
    Start,
    /// The record says READY, and the sandbox is watched.
    Ready,
}

impl PodStep {
    /// Rules are compiled while the shim starts; they are in force before the link is up.
    pub const CREATION: &[&[PodStep]] = &[
        &[PodStep::Record],
        &[PodStep::Addresses],
        &[PodStep::Files],
        &[PodStep::Sandbox, PodStep::Rules],
        &[PodStep::Limits],
        &[PodStep::Link],
        &[PodStep::Start],
        &[PodStep::Ready],
    ];

    /// Undone when the sandbox is stopped: what it holds in the kernel. First nobody may speak as the pod any more,
    /// then its link goes and its addresses are given back, then what it ran.
    pub const RELEASE: &[PodStep] = &[PodStep::Rules, PodStep::Addresses, PodStep::Sandbox];

    /// Undone after that, when it is removed.
    pub const FORGET: &[PodStep] = &[PodStep::Files, PodStep::Record];

    /// The step whose undo undoes this one.
    pub fn undone_with(self) -> PodStep {
        match self {
            PodStep::Link => PodStep::Addresses,
            PodStep::Limits | PodStep::Start => PodStep::Sandbox,
            PodStep::Ready => PodStep::Record,
            own => own,
        }
    }
}

/// A step of CreateContainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerStep {
    /// The intent is in the store: from here on recovery knows of the container.
    Record,
    /// The writable layer on the image's layers.
    Rootfs,
    /// Directories of the image's volumes, and host paths that are not there yet.
    Volumes,
    /// The spec is made of config, image and users, and the sandbox takes it.
    Spec,
    /// The ports that it declares are known to network policy.
    Ports,
    /// The log is open.
    Log,
    /// Its files are visible where it will run.
    Stage,
    /// The shim has set it up to just before execve.
    Process,
    /// The record says CREATED.
    Created,
}

impl ContainerStep {
    /// Each needs the one before.
    pub const CREATION: &[&[ContainerStep]] = &[
        &[ContainerStep::Record],
        &[ContainerStep::Rootfs],
        &[ContainerStep::Volumes],
        &[ContainerStep::Spec],
        &[ContainerStep::Ports],
        &[ContainerStep::Log],
        &[ContainerStep::Stage],
        &[ContainerStep::Process],
        &[ContainerStep::Created],
    ];

    /// Undone when it is removed.
    pub const REMOVAL: &[ContainerStep] = &[
        ContainerStep::Process,
        ContainerStep::Stage,
        ContainerStep::Rootfs,
        ContainerStep::Volumes,
        ContainerStep::Record,
    ];

    /// The step whose undo undoes this one; `None`: nothing to undo. A spec is only in memory, a log belongs to
    /// kubelet, and ports are known to policy for as long as the pod is.
    pub fn undone_with(self) -> Option<ContainerStep> {
        match self {
            ContainerStep::Spec | ContainerStep::Ports | ContainerStep::Log => None,
            ContainerStep::Created => Some(ContainerStep::Record),
            own => Some(own),
        }
    }
}

/// A step of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Of RunPodSandbox.
    Pod(PodStep),
    /// Of CreateContainer.
    Container(ContainerStep),
}

impl From<PodStep> for Step {
    fn from(step: PodStep) -> Self {
        Step::Pod(step)
    }
}

impl From<ContainerStep> for Step {
    fn from(step: ContainerStep) -> Self {
        Step::Container(step)
    }
}

/// The two sides of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the step is done.
    Before,
    /// All of it is done.
    After,
}

/// Is passed before and after every step, and may fail there, or wait for ever: tests prove by it that a creation which
/// ends anywhere leaves nothing. The daemon has none.
#[async_trait]
pub trait Checkpoint: Send + Sync {
    /// Returns when the creation may go on.
    async fn pass(&self, step: Step, moment: Moment) -> Result<(), Error>;
}

/// Something that is made step by step.
pub(crate) trait Creation: Sync {
    /// Its steps.
    type Step: Copy + Into<Step> + Send + Sync + 'static;

    /// Does one step.
    fn make(&self, step: Self::Step) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Does all rows. All steps of a row end before this returns, so that nothing is made behind the back of the undoing.
///
/// # Errors
/// That of the first step of a row that failed.
pub(crate) async fn create<C: Creation>(
    creation: &C,
    rows: &[&[C::Step]],
    checkpoint: Option<&dyn Checkpoint>,
) -> Result<(), Error> {
    for row in rows {
        let done = join_all(row.iter().map(|step| one(creation, *step, checkpoint))).await;
        done.into_iter().collect::<Result<(), Error>>()?;
    }
    Ok(())
}

async fn one<C: Creation>(creation: &C, step: C::Step, checkpoint: Option<&dyn Checkpoint>) -> Result<(), Error> {
    if let Some(checkpoint) = checkpoint {
        checkpoint.pass(step.into(), Moment::Before).await?;
    }
    creation.make(step).await?;
    match checkpoint {
        Some(checkpoint) => checkpoint.pass(step.into(), Moment::After).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_that_makes_something_is_undone_once() {
        for step in PodStep::CREATION.concat() {
            let undo = step.undone_with();
            let times = PodStep::RELEASE.iter().chain(PodStep::FORGET).filter(|s| **s == undo).count();
            assert_eq!(times, 1, "{step:?}");
        }
        for step in ContainerStep::CREATION.concat() {
            let Some(undo) = step.undone_with() else { continue };
            assert_eq!(ContainerStep::REMOVAL.iter().filter(|s| **s == undo).count(), 1, "{step:?}");
        }
    }

    #[test]
    fn the_record_is_made_first_and_removed_last() {
        assert_eq!(PodStep::CREATION.first(), Some(&&[PodStep::Record][..]));
        assert_eq!(PodStep::FORGET.last(), Some(&PodStep::Record));
        assert_eq!(ContainerStep::CREATION.first(), Some(&&[ContainerStep::Record][..]));
        assert_eq!(ContainerStep::REMOVAL.last(), Some(&ContainerStep::Record));
    }
}
