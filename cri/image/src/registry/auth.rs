//! Credentials: what kubelet sends, and what a registry asks for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ImageError;

/// Credentials as CRI has them; empty fields are not given.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Auth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Base64 of `USER:PASSWORD`.
    pub auth: String,
    /// The registry that these are for; empty: the image's.
    pub server_address: String,
    /// An OAuth2 refresh token.
    pub identity_token: String,
    /// A bearer token for the registry itself.
    pub registry_token: String,
}

impl std::fmt::Debug for Auth {
    /// Never shows a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("server_address", &self.server_address).finish_non_exhaustive()
    }
}

/// What is used of [`Auth`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    None,
    Basic { user: String, password: String },
    Identity(String),
    Registry(String),
}

impl Auth {
    /// Those for a registry; credentials of another one are none.
    pub(crate) fn for_registry(&self, registry: &str) -> Result<Credentials, ImageError> {
        if !self.server_address.is_empty() && !same_registry(&self.server_address, registry) {
            return Ok(Credentials::None);
        }
        if !self.username.is_empty() {
            return Ok(Credentials::Basic { user: self.username.clone(), password: self.password.clone() });
        }
        if !self.identity_token.is_empty() {
            return Ok(Credentials::Identity(self.identity_token.clone()));
        }
        if !self.registry_token.is_empty() {
            return Ok(Credentials::Registry(self.registry_token.clone()));
        }
        if self.auth.is_empty() {
            return Ok(Credentials::None);
        }
        let bad = || ImageError::Invalid("auth.auth: is not the base64 of USER:PASSWORD".into());
        let text = STANDARD.decode(&self.auth).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(bad)?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        Ok(Credentials::Basic { user: user.into(), password: password.trim_end_matches('\0').into() })
    }
}

/// Docker's files say `https://index.docker.io/v1/` for docker.io.
fn same_registry(address: &str, registry: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let plain = |host: &str| {
        if host == "index.docker.io" || host == "registry-1.docker.io" { "docker.io".into() } else { host.to_owned() }
    };
    plain(host) == plain(registry)
}

/// `Authorization` for user and password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What a `WWW-Authenticate` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads one `WWW-Authenticate` header; a scheme that is not known is none.
pub(crate) fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    for (name, value) in parameters(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

/// `a="b, c",d=e`: commas inside quotes belong to the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((name.trim_matches([' ', ',']).to_owned(), value.to_owned()));
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_keeps_commas_in_its_scope() {
        let text = r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#;
        let wanted = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("r".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(challenge(text), Some(wanted));
        assert_eq!(challenge("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(challenge("Negotiate"), None);
        assert_eq!(challenge("Bearer service=x"), None);
    }

    #[test]
    fn credentials_of_another_registry_are_not_used() {
        let auth = Auth { username: "u".into(), server_address: "https://a.example/v2/".into(), ..Auth::default() };
        assert!(auth.for_registry("a.example").unwrap() != Credentials::None);
        assert!(auth.for_registry("b.example").unwrap() == Credentials::None);
        let hub =
            Auth { username: "u".into(), server_address: "https://index.docker.io/v1/".into(), ..Auth::default() };
        assert!(hub.for_registry("docker.io").unwrap() != Credentials::None);
    }

    #[test]
    fn a_pair_in_base64_is_taken_apart_and_nonsense_refused() {
        let auth = |text: &str| Auth { auth: STANDARD.encode(text), ..Auth::default() }.for_registry("r");
        assert!(auth("u:p:q").unwrap() == Credentials::Basic { user: "u".into(), password: "p:q".into() });
        assert!(auth("nothing").is_err());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let auth = Auth { username: "alice".into(), password: "hunter2".into(), ..Auth::default() };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
