//! What this release does not do yet: refused by its key, or named as being without effect where a node runs well
//! without.

use tracing_subscriber::EnvFilter;

use super::{ClusterSource, Config, ConfigError, Log};

/// Refuses what this release cannot do, before anything is started.
pub fn supported(config: &Config) -> Result<(), ConfigError> {
    let unsupported = |key: &str, what: &str| {
        Err(ConfigError::Value { key: key.into(), reason: format!("{what} is not supported yet") })
    };
    if config.cluster.source == ClusterSource::Kubernetes {
        return unsupported("cluster.source", "\"kubernetes\"");
    }
    if config.cluster.kubeconfig.is_some() {
        return unsupported("cluster.kubeconfig", "the API server as a source");
    }
    log_filter(&config.log).map(drop)
}

/// The filter of `[log] level`.
pub fn log_filter(log: &Log) -> Result<EnvFilter, ConfigError> {
    EnvFilter::builder().parse(&log.level).map_err(|_| ConfigError::Value {
        key: "log.level".into(),
        reason: format!("{:?} is neither a level nor a filter", log.level),
    })
}

/// What is set for a later release and changes nothing on this one.
pub fn without_effect(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if config.tenant.user_namespace_range.is_some() {
        notes.push("tenant.user_namespace_range has no effect yet: no tenant can require a user namespace".into());
    }
    if !config.metrics.address.is_empty() {
        notes.push(format!("metrics.address has no effect yet: no metrics are served on {}", config.metrics.address));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_as_a_source_is_refused_by_key() {
        let mut config = Config::default();
        supported(&config).unwrap();
        config.cluster.source = ClusterSource::Kubernetes;
        assert!(supported(&config).unwrap_err().to_string().starts_with("cluster.source: "));
    }

    #[test]
    fn a_level_that_is_none_is_refused_by_key() {
        let mut config = Config::default();
        config.log.level = "a=b=c".into();
        assert!(supported(&config).unwrap_err().to_string().starts_with("log.level: "));
    }

    #[test]
    fn what_has_no_effect_is_named() {
        let mut config = Config::default();
        assert!(without_effect(&config).is_empty());
        config.metrics.address = "127.0.0.1:9092".into();
        config.tenant.user_namespace_range = Some([1 << 20, 1 << 20]);
        let notes = without_effect(&config).join("; ");
        assert!(notes.contains("metrics.address") && notes.contains("tenant.user_namespace_range"), "{notes}");
    }
}
