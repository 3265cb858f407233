//! What registries answer: bodies within bounds, errors in words, pauses that they ask for.

use std::time::{Duration, SystemTime};

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout};

use crate::ImageError;
use crate::pace::Pace;

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

/// What an answer other than success means, with the registry's own words.
pub(crate) async fn refused(url: &Url, response: Response) -> ImageError {
    let status = response.status();
    let body = bounded(response, 64 << 10, Duration::from_secs(5)).await.unwrap_or_default();
    let text = format!("{url}: {status} {}", words(&body)).trim_end().to_owned();
    match status.as_u16() {
        404 => ImageError::NotFound(text),
        401 | 403 => ImageError::Denied(text),
        408 | 429 | 500.. => ImageError::Unavailable(text),
        _ => ImageError::Invalid(text),
    }
}

/// `CODE: message` of each error that the body lists (OCI distribution), or its first words.
fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Listed {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        code: Option<String>,
        message: Option<String>,
    }
    let listed = serde_json::from_slice::<Listed>(body).map(|listed| listed.errors).unwrap_or_default();
    let said = listed.into_iter().filter_map(|one| match (one.code, one.message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (one, other) => one.or(other),
    });
    let said: Vec<String> = said.collect();
    let text = if said.is_empty() { String::from_utf8_lossy(body).into_owned() } else { said.join("; ") };
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// For how long the registry wants to be left alone: seconds, or a date.
pub(crate) fn retry_after(response: &Response, now: SystemTime) -> Option<Duration> {
    pause(response.headers().get(RETRY_AFTER)?.to_str().ok()?, now)
}

fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(pause("3", now), Some(Duration::from_secs(3)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:40:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(pause("soon", now), None);
    }

    #[test]
    fn the_errors_that_a_registry_lists_are_told_and_anything_else_by_its_first_words() {
        let listed =
            br#"{"errors":[{"code":"DENIED","message":"no access","detail":{"x":1}},{"code":"UNAUTHORIZED"}]}"#;
        assert_eq!(words(listed), "DENIED: no access; UNAUTHORIZED");
        assert_eq!(words(b"<html>\nno"), "<html>no");
        assert_eq!(words(b"{\"errors\":null}"), "{\"errors\":null}");
        assert_eq!(words(&[b'x'; 1000]).len(), 300);
    }
}
