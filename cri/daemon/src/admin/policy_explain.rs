//! PolicyExplain.

use cofferdam_admin_api::v1::{Decision, PolicyExplainRequest, PolicyExplainResponse, Verdict};
use cofferdam_netpolicy::{self as netpolicy, PolicyEngine as _, PolicyError};
use tonic::Status;

use crate::daemon::Daemon;

pub async fn explain(daemon: &Daemon, request: &PolicyExplainRequest) -> Result<PolicyExplainResponse, Status> {
    let explained = daemon.policy.controller.explain(&request.from, &request.to, &request.port).await;
    let explained = explained.map_err(|error| match error {
        PolicyError::Unknown(what) => Status::invalid_argument(what),
        other => Status::unavailable(other.to_string()),
    })?;
    Ok(PolicyExplainResponse {
        verdict: verdict(explained.verdict),
        egress: Some(decision(explained.egress)),
        ingress: Some(decision(explained.ingress)),
    })
}

fn decision(decision: netpolicy::Decision) -> Decision {
    Decision { verdict: verdict(decision.verdict), rule: decision.rule }
}

fn verdict(verdict: netpolicy::Verdict) -> i32 {
    match verdict {
        netpolicy::Verdict::Allow => Verdict::Allow.into(),
        netpolicy::Verdict::Deny => Verdict::Deny.into(),
    }
}
