//! HTTP to one endpoint: bounded waits, tokens, redirects, retries.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use tokio::sync::Mutex;

use super::answer::{chain, refused, retry_after};
use super::auth::{Credentials, basic, bearer};
use super::challenge::{Challenge, choose};
use super::place::Endpoint;
use super::{tls, token};
use crate::ImageError;
use crate::waits::Waits;

/// How many redirects are followed (containerd's number).
const REDIRECTS: usize = 10;

/// A request below the base.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub accept: Option<&'a str>,
    /// The rest of a blob from this byte on.
    pub from: u64,
}

/// An endpoint as one pull uses it.
pub(crate) struct Connection {
    pub endpoint: Endpoint,
    client: Client,
    headers: HeaderMap,
    credentials: Credentials,
    /// What is asked for where a challenge does not say.
    scope: String,
    stall: Duration,
    /// There is no other endpoint that could be asked while this one wants to be left alone.
    last: bool,
    authorization: Mutex<Option<HeaderValue>>,
    /// The other base is the right one.
    swapped: AtomicBool,
    /// It is known which one is.
    settled: AtomicBool,
}

impl Connection {
    /// `stall`: the longest wait for a connection, an answer, or the next bytes of a body. Blocking.
    pub fn new(
        endpoint: Endpoint,
        repository: &str,
        credentials: Credentials,
        stall: Duration,
        last: bool,
    ) -> Result<Self, ImageError> {
        // Credentials go to their own registry only, never to a mirror.
        let credentials = if endpoint.own { credentials } else { Credentials::None };
        let authorization = match &credentials {
            Credentials::Registry(token) => Some(bearer(token)?),
            _ => None,
        };
        Ok(Connection {
            client: client(&endpoint, stall)?,
            headers: headers(&endpoint)?,
            credentials,
            scope: format!("repository:{repository}:pull"),
            stall,
            last,
            authorization: Mutex::new(authorization),
            swapped: AtomicBool::new(false),
            settled: AtomicBool::new(endpoint.other.is_none()),
            endpoint,
        })
    }

    /// An answer of success; others are errors.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Response, ImageError> {
        let mut waits = Waits::new(self.last);
        loop {
            let (pause, error) = match self.either(ask).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let after = retry_after(&response, SystemTime::now());
                    let error = refused(&response.url().clone(), response).await;
                    (matches!(error, ImageError::Unavailable(_)).then_some(after), error)
                }
                Err(Failure::Http(e)) => {
                    let url = e.url().map(ToString::to_string).unwrap_or_default();
                    let again = (!e.is_connect() && !e.is_builder()).then_some(None);
                    (again, ImageError::Unavailable(format!("{url}: {}", chain(&e.without_url()))))
                }
                Err(Failure::Image(e)) => (None, e),
            };
            let Some(after) = pause else { return Err(error) };
            match waits.next(after) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(why) => return Err(error.and(why)),
            }
        }
    }

    /// By the scheme that the endpoint speaks, which the first answer tells where the configuration does not.
    async fn either(&self, ask: &Ask<'_>) -> Result<Response, Failure> {
        let (endpoint, swapped) = (&self.endpoint, self.swapped.load(Relaxed));
        let (base, other) = match &endpoint.other {
            Some(other) if swapped => (other, &endpoint.base),
            Some(other) => (&endpoint.base, other),
            None => (&endpoint.base, &endpoint.base),
        };
        let first = self.authorized(base, ask).await;
        let doubtful = match &first {
            Ok(response) => response.status() == StatusCode::BAD_REQUEST && base.starts_with("http://"),
            // Nobody listens by the other scheme either.
            Err(Failure::Http(e)) => !refuses(e) && !e.is_timeout(),
            Err(Failure::Image(_)) => false,
        };
        if !doubtful {
            self.settled.store(true, Relaxed);
        }
        if self.settled.load(Relaxed) {
            return first;
        }
        match self.authorized(other, ask).await {
            Ok(second) => {
                self.swapped.store(!swapped, Relaxed);
                self.settled.store(true, Relaxed);
                Ok(second)
            }
            Err(_) => first,
        }
    }

    async fn authorized(&self, base: &str, ask: &Ask<'_>) -> Result<Response, Failure> {
        let url = format!("{base}/{}", ask.path);
        let mut url = Url::parse(&url).map_err(|e| ImageError::Invalid(format!("{url}: {e}")))?;
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        let before = self.authorization.lock().await.clone();
        let response = self.follow(&url, ask, before.clone()).await?;
        // Whoever was redirected to gets no credentials, whatever it asks for.
        if response.status() != StatusCode::UNAUTHORIZED || !at_home(&url, response.url()) {
            return Ok(response);
        }
        let asked = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let Some(asked) = choose(asked.filter_map(|h| h.to_str().ok())) else { return Ok(response) };
        let fresh = {
            let mut current = self.authorization.lock().await;
            // Layers are fetched side by side: one of them renews the token for all.
            if *current == before {
                match self.answer(&asked).await? {
                    Some(value) => *current = Some(value),
                    None => return Ok(response),
                }
            }
            current.clone()
        };
        self.follow(&url, ask, fresh).await
    }

    /// Follows redirects. Credentials and configured headers are for this host alone.
    async fn follow(&self, home: &Url, ask: &Ask<'_>, authorization: Option<HeaderValue>) -> Result<Response, Failure> {
        let mut url = home.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.client.request(ask.method.clone(), url.clone());
            if at_home(home, &url) {
                request = request.headers(self.headers.clone());
                if let Some(value) = &authorization {
                    request = request.header(AUTHORIZATION, value.clone());
                }
            }
            if let Some(accept) = ask.accept {
                request = request.header(ACCEPT, accept);
            }
            if ask.from > 0 {
                request = request.header(RANGE, format!("bytes={}-", ask.from));
            }
            let response = request.send().await?;
            if !matches!(response.status().as_u16(), 301..=303 | 307 | 308) {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok()).filter(|to| matches!(to.scheme(), "http" | "https"));
            url = to.ok_or_else(|| ImageError::Invalid(format!("{url}: {} to no address", response.status())))?;
        }
        Err(ImageError::Invalid(format!("{home}: more than {REDIRECTS} redirects")).into())
    }

    /// The `Authorization` that a challenge wants; none if there is nothing to give.
    async fn answer(&self, asked: &Challenge) -> Result<Option<HeaderValue>, Failure> {
        match (asked, &self.credentials) {
            (Challenge::Basic, Credentials::Basic { user, password }) => Ok(Some(basic(user, password)?)),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { .. }, Credentials::Registry(_)) => Ok(None),
            (Challenge::Bearer { realm, service, scopes }, with) => {
                let mut scopes = scopes.clone();
                if !scopes.contains(&self.scope) {
                    scopes.push(self.scope.clone());
                }
                let wanted = token::Wanted { realm, service: service.as_deref(), scopes: &scopes };
                let plain = !self.endpoint.base.starts_with("https://");
                let token = token::fetch(&self.client, &self.headers, &wanted, with, plain, self.stall).await;
                let token = token.map_err(|e| e.context(format!("registry {}", self.endpoint.host)))?;
                Ok(Some(bearer(&token)?))
            }
        }
    }
}

/// Nobody listens.
fn refuses(error: &reqwest::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = next {
        if one.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = one.source();
    }
    false
}

/// The same host, and not by a way that is less safe.
fn at_home(home: &Url, url: &Url) -> bool {
    let same = home.scheme() == url.scheme() && home.port_or_known_default() == url.port_or_known_default();
    home.host_str() == url.host_str() && (same || (home.scheme() == "http" && url.scheme() == "https"))
}

/// Why there is no answer.
enum Failure {
    Http(reqwest::Error),
    Image(ImageError),
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Failure::Http(error)
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Failure::Image(error)
    }
}

fn headers(endpoint: &Endpoint) -> Result<HeaderMap, ImageError> {
    let bad = |what: String| ImageError::Invalid(format!("registry {}: {what}", endpoint.host));
    let mut headers = HeaderMap::new();
    for (name, value) in &endpoint.headers {
        let name: HeaderName = name.parse().map_err(|e| bad(format!("header {name:?}: {e}")))?;
        headers.append(name.clone(), value.parse().map_err(|e| bad(format!("header {name}: {e}")))?);
    }
    Ok(headers)
}

fn client(endpoint: &Endpoint, stall: Duration) -> Result<Client, ImageError> {
    let mut builder = Client::builder()
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(endpoint.dial_timeout.unwrap_or(stall))
        .read_timeout(stall);
    let plain = endpoint.base.starts_with("http://") && endpoint.other.is_none();
    // The node's certificates are not read for nothing, and need not exist.
    builder =
        if plain { builder.tls_certs_only([]) } else { builder.tls_backend_preconfigured(tls::config(&endpoint.tls)?) };
    builder.build().map_err(|e| ImageError::Invalid(format!("registry {}: {}", endpoint.host, chain(&e))))
}
