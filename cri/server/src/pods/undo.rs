//! What undoes each step of RunPodSandbox.

use cofferdam_store::SandboxEntry;

use super::state::Pods;
use crate::error::Error;
use crate::files::remove_dir;
use crate::steps::PodStep;

impl Pods {
    /// Undoes a step, whether it was done or not.
    pub(super) async fn undo(&self, step: PodStep, entry: &SandboxEntry) -> Result<(), Error> {
        let id = &entry.spec.id;
        match step {
            PodStep::Rules => Ok(self.node.policy.unbind(id).await?),
            PodStep::Addresses => match entry.lease() {
                Some(lease) => Ok(self.node.network.detach(lease).await?),
                None => Ok(()),
            },
            PodStep::Sandbox => {
                let factory = self.node.factory(entry.spec.kind)?;
                Ok(factory.remove_leftovers(&entry.spec, entry.record()).await?)
            }
            PodStep::Files => remove_dir(self.node.pod_dir(id)).await,
            PodStep::Record => Ok(self.table.remove(id).await?),
            PodStep::Limits | PodStep::Link | PodStep::Start | PodStep::Ready => Ok(()),
        }
    }
}
