//! HTTP to one endpoint: bounded waits, tokens, retries.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::auth::{Challenge, Credentials, basic, challenge};
use super::hosts::Endpoint;
use crate::ImageError;
use crate::pace::Pace;

/// How often one request is tried, and the pause before the second try, which doubles.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);
/// A token is a small document.
const MAX_TOKEN: usize = 1 << 20;

/// An endpoint as one pull uses it.
pub(crate) struct Connection {
    pub endpoint: Endpoint,
    client: Client,
    credentials: Credentials,
    stall: Duration,
    authorization: Mutex<Option<HeaderValue>>,
}

impl Connection {
    /// `stall`: the longest wait for a connection, an answer, or the next bytes of a body.
    pub fn new(endpoint: Endpoint, credentials: Credentials, stall: Duration) -> Result<Self, ImageError> {
        // Credentials go to their own registry only, never to a mirror.
        let credentials = if endpoint.own { credentials } else { Credentials::None };
        let authorization = match &credentials {
            Credentials::Registry(token) => Some(bearer(token)?),
            _ => None,
        };
        let client = client(&endpoint, stall)?;
        Ok(Connection { endpoint, client, credentials, stall, authorization: Mutex::new(authorization) })
    }

    /// GET below the base; `from` asks for the rest of a blob. Answers other than success are errors.
    pub async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        accept: Option<&str>,
        from: u64,
    ) -> Result<Response, ImageError> {
        let url = format!("{}/{path}", self.endpoint.base);
        let mut url = Url::parse(&url).map_err(|e| ImageError::Invalid(format!("{url}: {e}")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut pause = PAUSE;
        for attempt in 1.. {
            let failed = match self.authorized(&url, accept, from).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let error = refused(&url, response).await;
                    (matches!(error, ImageError::Unavailable(_)), error)
                }
                Err(Failure::Http(e)) => (!e.is_connect(), ImageError::Unavailable(format!("{url}: {}", chain(&e)))),
                Err(Failure::Image(e)) => (false, e),
            };
            match failed {
                (true, _) if attempt < TRIES => tokio::time::sleep(pause).await,
                (_, error) => return Err(error),
            }
            pause *= 2;
        }
        unreachable!("the loop ends by returning")
    }

    async fn authorized(&self, url: &Url, accept: Option<&str>, from: u64) -> Result<Response, Failure> {
        let before = self.authorization.lock().await.clone();
        let response = self.send(url, accept, from, before.clone()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let asked = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let Some(asked) = asked.filter_map(|h| h.to_str().ok()).find_map(challenge) else { return Ok(response) };
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
        Ok(self.send(url, accept, from, fresh).await?)
    }

    async fn send(
        &self,
        url: &Url,
        accept: Option<&str>,
        from: u64,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self.client.get(url.clone());
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await
    }

    /// The `Authorization` that a challenge wants; none if there is nothing to give.
    async fn answer(&self, asked: &Challenge) -> Result<Option<HeaderValue>, Failure> {
        match (asked, &self.credentials) {
            (Challenge::Basic, Credentials::Basic { user, password }) => Ok(Some(secret(&basic(user, password))?)),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { .. }, Credentials::Registry(_)) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, credentials) => {
                let token = self.token(realm, service.as_deref(), scope.as_deref(), credentials).await?;
                Ok(Some(bearer(&token)?))
            }
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        with: &Credentials,
    ) -> Result<String, Failure> {
        let bad =
            |text: String| ImageError::Invalid(format!("token service {realm:?} of {}: {text}", self.endpoint.host));
        let mut url = Url::parse(realm).map_err(|e| bad(e.to_string()))?;
        let plain = self.endpoint.base.starts_with("http://");
        if url.scheme() != "https" && !(plain && url.scheme() == "http") {
            return Err(bad("is not https".into()).into());
        }
        let known = [("service", service), ("scope", scope)];
        let known = known.into_iter().filter_map(|(name, value)| value.map(|v| (name, v)));
        let request = match with {
            Credentials::Identity(token) => {
                let fixed = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "cofferdam")];
                let form = Url::parse_with_params("x:", known.chain(fixed)).map_err(|e| bad(e.to_string()))?;
                let body = form.query().unwrap_or_default().to_owned();
                self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)
            }
            Credentials::Basic { user, password } => {
                url.query_pairs_mut().extend_pairs(known);
                self.client.get(url).header(AUTHORIZATION, secret(&basic(user, password))?)
            }
            Credentials::None | Credentials::Registry(_) => {
                url.query_pairs_mut().extend_pairs(known);
                self.client.get(url)
            }
        };
        let response = request.send().await?;
        if !response.status().is_success() {
            let text = format!("token service of {} answers {}", self.endpoint.host, response.status());
            let denied = response.status().is_client_error();
            return Err(if denied { ImageError::Denied(text) } else { ImageError::Unavailable(text) }.into());
        }
        #[derive(serde::Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let body = bounded(response, MAX_TOKEN, self.stall).await?;
        let token: Token = serde_json::from_slice(&body).map_err(|e| bad(e.to_string()))?;
        token.token.or(token.access_token).filter(|t| !t.is_empty()).ok_or_else(|| bad("gives no token".into()).into())
    }
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

/// Reads a body of at most `max` bytes, which must come at some pace.
pub(crate) async fn bounded(mut response: Response, max: usize, stall: Duration) -> Result<Vec<u8>, ImageError> {
    let url = response.url().clone();
    let (mut all, mut pace) = (Vec::new(), Pace::new(stall));
    loop {
        let begun = Instant::now();
        let next = timeout(pace.patience(), response.chunk()).await;
        let came = match &next {
            Ok(Ok(Some(chunk))) => chunk.len(),
            _ => 0,
        };
        pace.note(begun.elapsed(), came);
        if let Some(why) = pace.slow() {
            return Err(ImageError::Unavailable(format!("{url}: {why}")));
        }
        let next = next.map_err(|_| ImageError::Unavailable(format!("{url}: no byte in time")))?;
        let Some(chunk) = next.map_err(|e| ImageError::Unavailable(format!("{url}: {}", chain(&e))))? else {
            return Ok(all);
        };
        if all.len() + chunk.len() > max {
            return Err(ImageError::Invalid(format!("{url}: is larger than {max} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
}

/// An error with its causes: reqwest's own text names only the outermost.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// What an answer other than success means, with the first words of its body.
async fn refused(url: &Url, response: Response) -> ImageError {
    let status = response.status();
    let body = bounded(response, 4096, Duration::from_secs(5)).await.unwrap_or_default();
    let body: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(200).collect();
    let text = format!("{url}: {status} {body}");
    match status.as_u16() {
        404 => ImageError::NotFound(text),
        401 | 403 => ImageError::Denied(text),
        408 | 429 | 500.. => ImageError::Unavailable(text),
        _ => ImageError::Invalid(text),
    }
}

fn client(endpoint: &Endpoint, stall: Duration) -> Result<Client, ImageError> {
    let bad = |what: &dyn std::fmt::Display| ImageError::Invalid(format!("registry {}: {what}", endpoint.host));
    let mut headers = HeaderMap::new();
    for (name, value) in &endpoint.headers {
        let name: HeaderName = name.parse().map_err(|e| bad(&format!("header {name:?}: {e}")))?;
        headers.append(name.clone(), value.parse().map_err(|e| bad(&format!("header {name}: {e}")))?);
    }
    let mut builder = Client::builder()
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(stall)
        .read_timeout(stall)
        .tls_danger_accept_invalid_certs(endpoint.skip_verify);
    if endpoint.base.starts_with("http://") {
        // The node's certificates are not read for nothing, and need not exist.
        builder = builder.tls_certs_only([]);
    }
    for path in &endpoint.ca {
        let pem = std::fs::read(path).map_err(|e| ImageError::io(path.display(), e))?;
        let all = Certificate::from_pem_bundle(&pem).map_err(|e| bad(&format!("{}: {}", path.display(), chain(&e))))?;
        builder = builder.tls_certs_merge(all);
    }
    builder.build().map_err(|e| bad(&chain(&e)))
}

fn bearer(token: &str) -> Result<HeaderValue, ImageError> {
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Result<HeaderValue, ImageError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| ImageError::Invalid("credentials with control characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
