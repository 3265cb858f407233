//! Objects of the cluster, as a user may write them: policies, Tenants, Namespaces and Pods.

use cofferdam_netpolicy_watch::{documents, parse};

/// A YAML file of the cluster directory.
pub fn objects(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = text.lines().count() as u64;
    match parse("objects.yaml", text) {
        Ok(objects) => {
            assert!(objects.len() <= documents(text).len());
            for object in objects {
                assert!((1..=lines + 1).contains(&object.line), "line {} of {lines}", object.line);
            }
        }
        Err(error) => {
            assert!(!error.reason.is_empty());
            assert!((1..=lines + 1).contains(&error.line), "line {} of {lines}: {error}", error.line);
        }
    }
}
