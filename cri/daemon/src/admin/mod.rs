//! The admin service: what the CLI needs and CRI has no RPC for. One file an RPC, each thin.

mod apply;
mod delete;
mod image_load;
mod objects;
mod pods;
mod policy_explain;
mod policy_show;
mod status;
mod tenants;

use std::sync::Arc;

use cofferdam_admin_api::v1::admin_server::Admin;
use cofferdam_admin_api::v1::{
    ApplyRequest, ApplyResponse, DeleteRequest, DeleteResponse, ImageLoadRequest, ImageLoadResponse, PodsRequest,
    PodsResponse, PolicyExplainRequest, PolicyExplainResponse, PolicyShowRequest, PolicyShowResponse, StatusRequest,
    StatusResponse, TenantsRequest, TenantsResponse,
};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::daemon::Daemon;

/// The service over a daemon.
pub struct AdminService(Arc<Daemon>);

impl AdminService {
    /// Serves this daemon.
    pub fn new(daemon: Arc<Daemon>) -> Self {
        AdminService(daemon)
    }
}

#[async_trait]
impl Admin for AdminService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(status::status(&self.0)))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        apply::apply(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        delete::delete(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn policy_explain(
        &self,
        request: Request<PolicyExplainRequest>,
    ) -> Result<Response<PolicyExplainResponse>, Status> {
        policy_explain::explain(&self.0, &request.into_inner()).await.map(Response::new)
    }

    async fn policy_show(&self, _: Request<PolicyShowRequest>) -> Result<Response<PolicyShowResponse>, Status> {
        policy_show::show(&self.0).await.map(Response::new)
    }

    async fn tenants(&self, _: Request<TenantsRequest>) -> Result<Response<TenantsResponse>, Status> {
        Ok(Response::new(tenants::tenants(&self.0)))
    }

    async fn pods(&self, _: Request<PodsRequest>) -> Result<Response<PodsResponse>, Status> {
        Ok(Response::new(pods::pods(&self.0)))
    }

    async fn image_load(
        &self,
        request: Request<Streaming<ImageLoadRequest>>,
    ) -> Result<Response<ImageLoadResponse>, Status> {
        image_load::load(&self.0, request.into_inner()).await.map(Response::new)
    }
}
