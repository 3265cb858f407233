//! The server as a whole: pods and containers with their lifecycles, and what both CRI services share.

use std::sync::{Arc, OnceLock};

use cofferdam_streaming::StreamServer;
use serde_json::Value;

use crate::containers::Containers;
use crate::error::Error;
use crate::events::Events;
use crate::live::LiveSandboxes;
use crate::node::{Node, Parts, Settings};
use crate::pods::Pods;
use crate::present;
use crate::steps::Checkpoint;

/// The runtime behind both CRI services.
pub struct Runtime {
    pub(crate) node: Arc<Node>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) events: Arc<Events>,
    streams: OnceLock<StreamServer>,
}

impl Runtime {
    /// Puts the parts together. Nothing runs until [`Runtime::recover`].
    pub fn new(settings: Settings, parts: Parts) -> Arc<Runtime> {
        Runtime::assemble(settings, parts, None)
    }

    /// The same with a checkpoint that every step of a creation passes.
    pub fn with_checkpoint(settings: Settings, parts: Parts, checkpoint: Arc<dyn Checkpoint>) -> Arc<Runtime> {
        Runtime::assemble(settings, parts, Some(checkpoint))
    }

    fn assemble(settings: Settings, parts: Parts, checkpoint: Option<Arc<dyn Checkpoint>>) -> Arc<Runtime> {
        let (node, store) = Node::new(settings, parts, checkpoint);
        let (node, live) = (Arc::new(node), LiveSandboxes::default());
        let events = Arc::new(Events::new(store.sandboxes.reader(), store.containers.reader()));
        let containers = Containers::new(store.containers, live.reader(), node.clone(), events.clone());
        let containers = Arc::new(containers);
        let pods = Pods::new(store.sandboxes, live, containers.clone(), node.clone(), events.clone());
        Arc::new(Runtime { node, pods: Arc::new(pods), containers, events, streams: OnceLock::new() })
    }

    /// Brings records, live sandboxes, network and rules to agree, before the first RPC.
    ///
    /// # Errors
    /// Only what makes serving unsafe: rules or links that cannot be restored.
    pub async fn recover(&self) -> Result<(), Error> {
        // What an earlier daemon has not come to costs space, never a start.
        if let Err(error) = self.node.volume_trash.empty() {
            tracing::warn!(%error, "volumes of removed containers stay on the disk");
        }
        self.pods.recover().await
    }

    /// Ends the streams that would never end by themselves (GetContainerEvents), so that the daemon can.
    pub fn end_streams(&self) {
        self.events.end();
    }

    /// Set once, after the streaming server has started with a backend on this runtime.
    pub fn set_stream_server(&self, server: StreamServer) {
        // A second call would mean two servers; the first stays.
        let _ = self.streams.set(server);
    }

    /// Where Exec, Attach and PortForward point to.
    pub(crate) fn stream_server(&self) -> Result<&StreamServer, Error> {
        self.streams.get().ok_or_else(|| Error::Unavailable("the streaming server is not up yet".into()))
    }

    /// Whether any sandbox still holds something in the kernel.
    pub fn has_sandboxes(&self) -> bool {
        self.pods.records().list().iter().any(|s| !s.released())
    }

    /// For the admin service: what this node can run, and what is degraded.
    pub fn node_details(&self) -> Value {
        present::node::details(&self.node, &self.pods.records().list())
    }

    /// For the admin service: the pods that clients see, newest first.
    pub fn pod_details(&self) -> Vec<Value> {
        let mut pods = self.pods.records().list();
        pods.retain(|s| s.visible());
        pods.sort_by_key(|s| std::cmp::Reverse(s.created_at));
        pods.iter().map(|s| present::pods::details(s)).collect()
    }
}
