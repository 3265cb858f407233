//! `policy check|explain|show`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cofferdam_admin_api::v1::{Decision, PolicyExplainRequest, PolicyExplainResponse, PolicyShowRequest, Verdict};
use cofferdam_netpolicy_watch::parse;
use serde::Serialize;

use super::connect::Clients;
use super::error::CliError;
use super::output::{Format, Show, print, show};

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check files as the source directory would read them; needs no daemon
    Check {
        /// Files with Namespaces, Tenants, policies and pods
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say whether one pod or address may reach another, and which rule says so
    Explain(ExplainArgs),
    /// Print the rules that are in force in the kernel
    Show,
}

/// Options of `policy explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Who begins
    #[arg(long, value_name = "NS/POD|IP")]
    from: String,
    /// Who is reached
    #[arg(long, value_name = "NS/POD|IP")]
    to: String,
    /// At which port
    #[arg(long, value_name = "PROTOCOL/PORT")]
    port: String,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Serialize)]
struct View {
    verdict: &'static str,
    egress: Side,
    ingress: Side,
}

#[derive(Debug, Serialize)]
struct Side {
    verdict: &'static str,
    rule: String,
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "Allow",
        // What cannot be said is not allowed.
        Verdict::Deny | Verdict::Unspecified => "Deny",
    }
}

impl From<Option<Decision>> for Side {
    fn from(decision: Option<Decision>) -> Self {
        let decision = decision.unwrap_or_default();
        Side { verdict: verdict(decision.verdict()), rule: decision.rule }
    }
}

impl From<PolicyExplainResponse> for View {
    fn from(answer: PolicyExplainResponse) -> Self {
        View { verdict: verdict(answer.verdict()), egress: answer.egress.into(), ingress: answer.ingress.into() }
    }
}

impl Show for View {
    fn text(&self) -> String {
        let side = |name, side: &Side| format!("{name} {}: {}", side.verdict, side.rule);
        [self.verdict.to_owned(), side("  egress ", &self.egress), side("  ingress", &self.ingress)].join("\n")
    }
}

/// `policy check`: the first mistake, or a line a file.
pub fn check(files: &[PathBuf]) -> Result<u8, CliError> {
    let mut lines = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
        let objects = parse(&file.display().to_string(), &text)?;
        lines.push(format!("{}: ok ({} objects)", file.display(), objects.len()));
    }
    print(&lines.join("\n"))?;
    Ok(0)
}

/// The commands that ask the daemon.
pub async fn run(mut clients: Clients, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Check { files } => check(&files),
        Command::Explain(ExplainArgs { from, to, port, output }) => {
            let answer = clients.admin.policy_explain(PolicyExplainRequest { from, to, port }).await?.into_inner();
            // A denial is an answer, not a failure.
            show(&View::from(answer), output)
        }
        Command::Show => {
            print(&clients.admin.policy_show(PolicyShowRequest {}).await?.into_inner().rules)?;
            Ok(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_has_the_fixed_form() {
        let allow = Decision { verdict: Verdict::Allow.into(), rule: "same tenant".into() };
        let deny = Decision { verdict: Verdict::Deny.into(), rule: "policy acme/web".into() };
        let answer = PolicyExplainResponse { verdict: Verdict::Deny.into(), egress: Some(allow), ingress: Some(deny) };
        let view = View::from(answer);
        assert_eq!(
            serde_json::to_value(&view).unwrap(),
            serde_json::json!({
                "verdict": "Deny",
                "egress": {"verdict": "Allow", "rule": "same tenant"},
                "ingress": {"verdict": "Deny", "rule": "policy acme/web"},
            })
        );
        assert_eq!(view.text(), "Deny\n  egress  Allow: same tenant\n  ingress Deny: policy acme/web");
    }

    #[test]
    fn check_shows_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        std::fs::write(&file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  nam: x\n").unwrap();
        let error = check(std::slice::from_ref(&file)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:4: ", file.display())), "{error}");
        std::fs::write(&file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n").unwrap();
        assert_eq!(check(&[file]).unwrap(), 0);
    }
}
