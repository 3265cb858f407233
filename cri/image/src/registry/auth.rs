//! Credentials: what kubelet sends, and what a registry asks for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

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
pub(crate) fn basic(user: &str, password: &str) -> Result<HeaderValue, ImageError> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// `Authorization` by token.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, ImageError> {
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Result<HeaderValue, ImageError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| ImageError::Invalid("credentials with control characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

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
