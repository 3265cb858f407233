//! SIGHUP: what can change while pods run does; what cannot is named.

use super::args::ServeArgs;
use super::{log, policy};
use crate::config::Config;
use crate::daemon::Daemon;

/// Reads the configuration again. One that is wrong changes nothing.
pub async fn reload(args: &ServeArgs, daemon: &Daemon, log: &log::Handle) {
    let next = match args.load() {
        Ok(next) => next,
        Err(error) => {
            tracing::error!("the configuration is not reloaded: {error:#}");
            return;
        }
    };
    if let Err(error) = log.set(&next.log) {
        tracing::error!("the configuration is not reloaded: {error:#}");
        return;
    }
    daemon.policy.source.set_config(policy::source_config(&next));
    daemon.tenants.set_system(next.tenant.system.clone(), next.tenant.system_namespaces.iter().cloned().collect());
    for key in needs_restart(&daemon.config, &next) {
        tracing::warn!(key, "changed; takes effect after a restart");
    }
    tracing::info!("the configuration is reloaded");
}

/// Keys that differ from those that the daemon was started with and cannot change while it runs.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("socket", old.socket != new.socket),
        ("root", old.root != new.root),
        ("state", old.state != new.state),
        ("registry", old.registry != new.registry),
        ("network", old.network != new.network),
        ("cgroup", old.cgroup != new.cgroup),
        ("kubelet", old.kubelet != new.kubelet),
        ("cluster.source", old.cluster.source != new.cluster.source),
        ("cluster.directory", old.cluster.directory != new.cluster.directory),
        ("tenant.user_namespace_range", old.tenant.user_namespace_range != new.tenant.user_namespace_range),
        ("vm", old.vm != new.vm),
        ("streaming", old.streaming != new.streaming),
        ("images", old.images != new.images),
        ("metrics", old.metrics != new.metrics),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_reloaded_is_named_and_nothing_else() {
        let old = Config::default();
        let mut new = old.clone();
        new.log.level = "debug".into();
        new.tenant.system_namespaces.push("infra".into());
        new.cluster.service_cidrs.push("10.96.0.0/12".parse().unwrap());
        assert!(needs_restart(&old, &new).is_empty());
        new.network.nft_table = "other".into();
        new.vm.boot_timeout += 1;
        assert_eq!(needs_restart(&old, &new), ["network", "vm"]);
    }
}
