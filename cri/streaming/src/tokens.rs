//! The requests that wait for their client, by token.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::{AttachRequest, ExecRequest, PortForwardRequest};

/// How long a client has to come.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// Most requests that may wait. kubelet uses a URL at once.
pub(crate) const LIMIT: usize = 1000;
/// Random bytes of a token.
const BYTES: usize = 20;

/// Why there is no URL for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Clients that asked for URLs do not come.
    #[error("{LIMIT} streaming requests wait for their clients, no more are taken")]
    TooMany,
    /// The kernel gives no random numbers.
    #[error("random token: {0}")]
    Random(std::io::ErrorKind),
}

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Exec(ExecRequest),
    Attach(AttachRequest),
    PortForward(PortForwardRequest),
}

impl Request {
    /// The first part of its URL's path.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Request::Exec(_) => "exec",
            Request::Attach(_) => "attach",
            Request::PortForward(_) => "portforward",
        }
    }
}

#[derive(Default)]
pub(crate) struct Tokens(HashMap<String, (Request, Instant)>);

impl Tokens {
    /// Keeps a request; answers its token.
    pub(crate) fn insert(&mut self, request: Request, now: Instant) -> Result<String, UrlError> {
        self.0.retain(|_, (_, since)| fresh(*since, now));
        if self.0.len() >= LIMIT {
            return Err(UrlError::TooMany);
        }
        let token = random()?;
        self.0.insert(token.clone(), (request, now));
        Ok(token)
    }

    /// What the token stands for, unless it is used, expired or of another kind. It stays good: a client whose upgrade
    /// is refused (WebSocket) comes back with another one.
    pub(crate) fn get(&self, kind: &str, token: &str, now: Instant) -> Option<&Request> {
        let (request, since) = self.0.get(token)?;
        (request.kind() == kind && fresh(*since, now)).then_some(request)
    }

    /// Uses the token up.
    pub(crate) fn take(&mut self, kind: &str, token: &str, now: Instant) -> Option<Request> {
        self.get(kind, token, now)?;
        self.0.remove(token).map(|(request, _)| request)
    }
}

fn fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < LIFETIME
}

fn random() -> Result<String, UrlError> {
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .map_err(|e| UrlError::Random(std::io::Error::from(e).kind()))?;
    }
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::PortForward(PortForwardRequest { sandbox_id: "s".into(), ports: Vec::new() })
    }

    #[test]
    fn a_token_is_good_once_for_its_kind_and_for_a_minute() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.insert(request(), now).unwrap();
        assert_eq!(token.len(), 2 * BYTES);
        let last = now + LIFETIME - Duration::from_millis(1);
        assert_eq!(tokens.get("exec", &token, now), None);
        assert_eq!(tokens.get("portforward", &token, last), Some(&request()));
        assert_eq!(tokens.take("portforward", &token, now + LIFETIME), None);
        assert_eq!(tokens.take("portforward", &token, last), Some(request()));
        assert_eq!(tokens.take("portforward", &token, last), None);
    }

    #[test]
    fn their_number_is_bounded_and_expired_ones_make_room() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let all: std::collections::HashSet<_> = (0..LIMIT).map(|_| tokens.insert(request(), now).unwrap()).collect();
        assert_eq!(all.len(), LIMIT);
        assert_eq!(tokens.insert(request(), now), Err(UrlError::TooMany));
        assert!(tokens.insert(request(), now + LIFETIME).is_ok());
        assert_eq!(tokens.0.len(), 1);
    }
}
