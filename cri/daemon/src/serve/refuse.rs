//! Keys of the configuration that a later release brings, and values that only their user can judge: refused by name.

use super::log;
use crate::config::{ClusterSource, Config, ConfigError};

/// Refuses what this release cannot do, before anything is started.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let later = |key: &str, what: &str| {
        Err(ConfigError::Value { key: key.into(), reason: format!("{what} is not supported yet") })
    };
    if config.cluster.source == ClusterSource::Kubernetes {
        return later("cluster.source", "\"kubernetes\"");
    }
    if config.cluster.kubeconfig.is_some() {
        return later("cluster.kubeconfig", "the API server as a source");
    }
    log::filter(&config.log).map(drop).map_err(|_| ConfigError::Value {
        key: "log.level".into(),
        reason: format!("{:?} is neither a level nor a filter", config.log.level),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_as_a_source_is_refused_by_key() {
        let mut config = Config::default();
        check(&config).unwrap();
        config.cluster.source = ClusterSource::Kubernetes;
        assert!(check(&config).unwrap_err().to_string().starts_with("cluster.source: "));
    }

    #[test]
    fn a_level_that_is_none_is_refused_by_key() {
        let mut config = Config::default();
        config.log.level = "a=b=c".into();
        assert!(check(&config).unwrap_err().to_string().starts_with("log.level: "));
    }
}
