//! Debug of what holds credentials. Messages derive Debug, requests are logged, and a password must not come along.

use std::fmt;

use crate::v1::AuthConfig;

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Destructured, so that a field added later has to be thought of here.
        let Self { username, password, auth, server_address, identity_token, registry_token } = self;
        f.debug_struct("AuthConfig")
            .field("username", username)
            .field("password", &Hidden(password))
            .field("auth", &Hidden(auth))
            .field("server_address", server_address)
            .field("identity_token", &Hidden(identity_token))
            .field("registry_token", &Hidden(registry_token))
            .finish()
    }
}

/// Tells only whether there is something.
struct Hidden<'a>(&'a str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "hidden" })
    }
}

#[cfg(test)]
mod tests {
    use crate::v1::{AuthConfig, PullImageRequest};

    #[test]
    fn debug_of_a_pull_shows_no_credential() {
        let auth = AuthConfig {
            username: "alice".into(),
            password: "s3cret-a".into(),
            auth: "s3cret-b".into(),
            server_address: "registry.example".into(),
            identity_token: "s3cret-c".into(),
            registry_token: "s3cret-d".into(),
        };
        let shown = format!("{:?}", PullImageRequest { auth: Some(auth), ..Default::default() });
        assert!(shown.contains("alice") && shown.contains("registry.example"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
