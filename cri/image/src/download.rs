//! A layer from a registry: resumed after breaks, by the next endpoint when one fails.

use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;

use crate::layer::{Ingest, Wanted, Workshop, Writer};
use crate::manifest::Descriptor;
use crate::registry::{Repository, chain, join};
use crate::store::Usage;
use crate::{ImageError, names};

/// How often a torn body is resumed.
const RESUMES: u32 = 5;

/// Fetches and unpacks a layer.
pub(crate) async fn layer(
    shop: &Workshop,
    from: &Repository,
    blob: &Descriptor,
    diff_id: &str,
) -> Result<Usage, ImageError> {
    let mut errors = Vec::new();
    for endpoint in 0..from.endpoints() {
        let job = Job { shop, from, endpoint, blob, diff_id };
        match job.run().await {
            Ok(usage) => return Ok(usage),
            // Not the endpoint's fault.
            Err(e @ (ImageError::Exhausted(_) | ImageError::Failed(_))) => return Err(e),
            Err(e) => errors.push(e),
        }
    }
    Err(join(errors))
}

struct Job<'a> {
    shop: &'a Workshop,
    from: &'a Repository,
    endpoint: usize,
    blob: &'a Descriptor,
    diff_id: &'a str,
}

impl Job<'_> {
    async fn run(&self) -> Result<Usage, ImageError> {
        let path = self.shop.store.ingest(names::hex_of(&self.blob.digest)?);
        let open = || Ingest::open(path.clone(), self.blob.size).map_err(|e| ImageError::io(path.display(), e));
        let ingest = open()?;
        let resumed = ingest.as_ref().map_or(0, Ingest::length);
        match self.fetch(ingest).await {
            // The kept part may have been the wrong one.
            Err(ImageError::Invalid(_)) if resumed > 0 => {
                let mut ingest = open()?;
                if let Some(ingest) = &mut ingest {
                    ingest.clear().map_err(|e| ImageError::io(path.display(), e))?;
                }
                self.fetch(ingest).await
            }
            other => other,
        }
    }

    async fn fetch(&self, ingest: Option<Ingest>) -> Result<Usage, ImageError> {
        let mut at = ingest.as_ref().map_or(0, Ingest::length);
        // Nothing is started for a blob that is not there.
        let mut body = if at < self.blob.size { Some(self.ask(at).await?) } else { None };
        let wanted = Wanted { digest: Some(self.blob.digest.clone()), diff_id: self.diff_id.to_owned() };
        let writer = Writer::start(self.shop, wanted, ingest);
        let mut resumes = 0;
        while let Some(mut open) = body.take() {
            let torn = loop {
                match open.next().await {
                    Ok(Some(chunk)) => {
                        at += chunk.len() as u64;
                        if at > self.blob.size {
                            let text = format!(
                                "layer {}: has more than the {} bytes of its manifest",
                                self.blob.digest, self.blob.size
                            );
                            return Err(ImageError::Invalid(text));
                        }
                        if !writer.write(chunk).await {
                            return writer.finish().await;
                        }
                    }
                    Ok(None) if at == self.blob.size => break None,
                    Ok(None) => break Some(format!("the body ends after {at} of {} bytes", self.blob.size)),
                    Err(text) => break Some(text),
                }
            };
            let Some(text) = torn else { break };
            resumes += 1;
            if resumes > RESUMES {
                return Err(ImageError::Unavailable(format!("layer {}: {text}", self.blob.digest)));
            }
            tracing::debug!(layer = %self.blob.digest, at, error = %text, "resume a download");
            body = Some(self.ask(at).await?);
        }
        writer.finish().await
    }

    async fn ask(&self, at: u64) -> Result<Body, ImageError> {
        let response = self.from.blob(self.endpoint, &self.blob.digest, at).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if partial && !range.starts_with(&format!("bytes {at}-")) {
            return Err(ImageError::Invalid(format!("{}: asked for bytes from {at}, got {range:?}", response.url())));
        }
        let url = response.url().to_string();
        // A registry without ranges sends all of it once more.
        let skip = if partial { 0 } else { at };
        Ok(Body { stream: response.bytes_stream().boxed(), skip, stall: self.from.stall(), url })
    }
}

struct Body {
    stream: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    skip: u64,
    stall: std::time::Duration,
    url: String,
}

impl Body {
    /// The next bytes that are not there yet.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, String> {
        loop {
            let next = tokio::time::timeout(self.stall, self.stream.next()).await;
            let next = next.map_err(|_| format!("{}: no byte for {} s", self.url, self.stall.as_secs_f32()))?;
            let Some(chunk) = next else { return Ok(None) };
            let mut chunk = chunk.map_err(|e| format!("{}: {}", self.url, chain(&e)))?;
            let over = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= over as u64;
            let rest = chunk.split_off(over);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
    }
}
