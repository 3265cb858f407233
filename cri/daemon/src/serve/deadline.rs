//! What a call answers when its caller's deadline passes: DeadlineExceeded. tonic's own timer says Cancelled, and a
//! client sees that if the answer arrives before its own timer runs out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

/// How long the caller waits (gRPC over HTTP/2).
const TIMEOUT: &str = "grpc-timeout";

/// Ends calls in time.
#[derive(Clone, Copy)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

/// A service whose calls end in time.
#[derive(Clone)]
pub struct Deadline<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = limit(request.headers());
        let what = request.uri().path().trim_start_matches('/').to_owned();
        let answer = self.inner.call(request);
        let Some(limit) = limit else { return Box::pin(answer) };
        // The timer starts here, before tonic's.
        let answer = tokio::time::timeout(limit, answer);
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let text = format!("{what}: the caller's deadline of {limit:?} has passed");
                tracing::debug!("{text}");
                Ok(Status::deadline_exceeded(text).into_http())
            })
        })
    }
}

/// At most eight digits and a unit; anything else is no deadline.
fn limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn request(timeout: &str) -> Request<()> {
        Request::builder().uri("/runtime.v1.ImageService/PullImage").header(TIMEOUT, timeout).body(()).unwrap()
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_answers_deadline_exceeded() {
        let never = tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let answer = DeadlineLayer.layer(never).call(request("1m")).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
        assert!(answer.headers()["grpc-message"].to_str().unwrap().contains("PullImage"));
    }

    #[tokio::test]
    async fn an_answer_in_time_is_the_answer() {
        let quick = tower::service_fn(|_: Request<()>| async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        for timeout in ["1H", "nonsense"] {
            let answer = DeadlineLayer.layer(quick).call(request(timeout)).await.unwrap();
            assert!(!answer.headers().contains_key("grpc-status"));
        }
    }

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        let read = |text: &str| limit(request(text).headers());
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        for none in ["", "S", "5", "123456789S", "-1S", "5x", "é"] {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, tonic::codegen::http::HeaderValue::from_bytes(none.as_bytes()).unwrap());
            assert_eq!(limit(&headers), None, "{none}");
        }
    }
}
