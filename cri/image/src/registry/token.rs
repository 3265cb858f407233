//! Tokens for a repository, from the service that a registry names (Docker's token protocol, and its OAuth2 form).

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, Url};

use super::answer::{bounded, chain, refused};
use super::auth::{Credentials, basic};
use crate::ImageError;

/// A token is a small document.
const MAX_TOKEN: usize = 1 << 20;
const CLIENT: &str = "cofferdam";

/// What a challenge asks for.
pub(crate) struct Wanted<'a> {
    pub realm: &'a str,
    pub service: Option<&'a str>,
    pub scopes: &'a [String],
}

/// `plain`: the registry itself is reached without TLS.
pub(crate) async fn fetch(
    client: &Client,
    headers: &HeaderMap,
    wanted: &Wanted<'_>,
    with: &Credentials,
    plain: bool,
    stall: Duration,
) -> Result<String, ImageError> {
    let bad = |text: String| ImageError::Invalid(format!("token service {:?}: {text}", wanted.realm));
    let url = Url::parse(wanted.realm).map_err(|e| bad(e.to_string()))?;
    let secret = matches!(with, Credentials::Basic { .. } | Credentials::Identity(_));
    if url.scheme() != "https" && !(url.scheme() == "http" && (plain || !secret)) {
        return Err(bad("is not https, and gets no credentials".into()));
    }
    let service = Service { client, headers, wanted, url };
    // Most services know both forms. A few know one, and say of the other that it is not there or not right.
    let unknown = |response: &Response| matches!(response.status().as_u16(), 400 | 401 | 404 | 405);
    let mut response = match with {
        Credentials::Identity(_) => service.oauth(with).await?,
        _ => service.get(with).await?,
    };
    if secret && unknown(&response) {
        response = match with {
            Credentials::Identity(_) => service.get(with).await?,
            _ => service.oauth(with).await?,
        };
    }
    if !response.status().is_success() {
        return Err(match refused(&service.url, response).await {
            ImageError::Invalid(text) | ImageError::NotFound(text) => ImageError::Denied(text),
            other => other,
        }
        .context("token service"));
    }
    #[derive(serde::Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let body = bounded(response, MAX_TOKEN, stall).await?;
    let token: Token = serde_json::from_slice(&body).map_err(|e| bad(e.to_string()))?;
    let given = [token.access_token, token.token].into_iter().flatten().find(|token| !token.is_empty());
    given.ok_or_else(|| bad("gives no token".into()))
}

struct Service<'a> {
    client: &'a Client,
    headers: &'a HeaderMap,
    wanted: &'a Wanted<'a>,
    url: Url,
}

impl Service<'_> {
    async fn get(&self, with: &Credentials) -> Result<Response, ImageError> {
        let mut url = self.url.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.wanted.service.map(|service| ("service", service)));
            query.extend_pairs(self.wanted.scopes.iter().map(|scope| ("scope", scope)));
        }
        let mut request = self.client.get(url).headers(self.headers.clone());
        match with {
            Credentials::Basic { user, password } => request = request.header(AUTHORIZATION, basic(user, password)?),
            Credentials::Identity(token) => request = request.header(AUTHORIZATION, basic("", token)?),
            Credentials::None | Credentials::Registry(_) => {}
        }
        self.send(request).await
    }

    async fn oauth(&self, with: &Credentials) -> Result<Response, ImageError> {
        let scopes = self.wanted.scopes.join(" ");
        let mut form =
            vec![("service", self.wanted.service.unwrap_or_default()), ("scope", &scopes), ("client_id", CLIENT)];
        match with {
            Credentials::Identity(token) => form.extend([("grant_type", "refresh_token"), ("refresh_token", token)]),
            Credentials::Basic { user, password } => {
                form.extend([("grant_type", "password"), ("username", user), ("password", password)]);
            }
            Credentials::None | Credentials::Registry(_) => {}
        }
        let form = Url::parse_with_params("x:", form).map_err(|e| ImageError::Failed(e.to_string()))?;
        let body = form.query().unwrap_or_default().to_owned();
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        self.send(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ImageError> {
        let failed = |e: reqwest::Error| {
            ImageError::Unavailable(format!("token service {:?}: {}", self.wanted.realm, chain(&e)))
        };
        request.send().await.map_err(failed)
    }
}
