//! A layer from a registry: resumed after breaks, by the next endpoint when one fails.

use std::time::Duration;

use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use tokio::time::{Instant, timeout};

use crate::layer::{Ingest, Wanted, Workshop, Writer};
use crate::manifest::Descriptor;
use crate::pace::Pace;
use crate::registry::{Repository, chain, join};
use crate::slots::{Share, Slots, Turn};
use crate::store::Usage;
use crate::{ImageError, names};

/// How often a torn body is resumed.
const RESUMES: u32 = 5;
/// How often a body that came too slowly is asked for again: another connection may be better.
const SLOW: u32 = 1;
/// A layer that has nothing to work on for so long gives its turn to others.
const IDLE: Duration = Duration::from_millis(20);

/// Fetches and unpacks a layer.
pub(crate) async fn layer(
    shop: &Workshop,
    turns: (&Slots, &Share),
    from: &Repository,
    blob: &Descriptor,
    diff_id: &str,
) -> Result<Usage, ImageError> {
    let mut errors = Vec::new();
    for endpoint in 0..from.endpoints() {
        let job = Job { shop, turns, from, endpoint, blob, diff_id };
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
    turns: (&'a Slots, &'a Share),
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
        let mut turn = Some(self.turn().await?);
        let writer = Writer::start(self.shop, wanted, ingest)?;
        let (mut breaks, mut slow) = (0, 0);
        while let Some(mut open) = body.take() {
            let torn = match self.pour(&mut open, &writer, &mut at, &mut turn).await? {
                Poured::All => break,
                Poured::Torn(torn) => torn,
            };
            // The registry is waited for without a turn.
            turn = None;
            *(if torn.slow { &mut slow } else { &mut breaks }) += 1;
            if breaks > RESUMES || slow > SLOW {
                return Err(ImageError::Unavailable(format!("layer {}: {}", self.blob.digest, torn.text)));
            }
            tracing::debug!(layer = %self.blob.digest, at, error = %torn.text, "resume a download");
            body = Some(self.ask(at).await?);
        }
        let _turn = match turn {
            Some(turn) => turn,
            None => self.turn().await?,
        };
        writer.finish().await
    }

    /// Hands the body over until it ends, or until the writer wants no more.
    async fn pour(
        &self,
        body: &mut Body,
        writer: &Writer,
        at: &mut u64,
        turn: &mut Option<Turn>,
    ) -> Result<Poured, ImageError> {
        let (blob, size) = (&self.blob.digest, self.blob.size);
        loop {
            let chunk = match body.next(turn).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) if *at == size => return Ok(Poured::All),
                Ok(None) => {
                    let text = format!("{}: the body ends after {at} of {size} bytes", body.url);
                    return Ok(Poured::Torn(Torn { slow: false, text }));
                }
                Err(torn) => return Ok(Poured::Torn(torn)),
            };
            *at += chunk.len() as u64;
            if *at > size {
                let text = format!("layer {blob}: its size is more than the {size} bytes that the manifest says");
                return Err(ImageError::Invalid(text));
            }
            if turn.as_ref().is_none_or(Turn::is_over) {
                // Given back before the next one is waited for.
                *turn = None;
                *turn = Some(self.turn().await?);
            }
            if !writer.write(chunk).await {
                return Ok(Poured::All);
            }
        }
    }

    async fn turn(&self) -> Result<Turn, ImageError> {
        let (slots, share) = self.turns;
        slots.turn(share).await
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
        Ok(Body { stream: response.bytes_stream().boxed(), skip, pace: Pace::new(self.from.stall()), url })
    }
}

/// How handing over a body ended.
enum Poured {
    /// The writer has all that it wants.
    All,
    Torn(Torn),
}

/// Why a body did not come to its end.
struct Torn {
    slow: bool,
    text: String,
}

struct Body {
    stream: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    skip: u64,
    pace: Pace,
    url: String,
}

impl Body {
    /// The next bytes that are not there yet.
    async fn next(&mut self, turn: &mut Option<Turn>) -> Result<Option<bytes::Bytes>, Torn> {
        loop {
            let Some(mut chunk) = self.chunk(turn).await? else { return Ok(None) };
            let over = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= over as u64;
            let rest = chunk.split_off(over);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
    }

    async fn chunk(&mut self, turn: &mut Option<Turn>) -> Result<Option<bytes::Bytes>, Torn> {
        let begun = Instant::now();
        let soon = match turn {
            Some(_) => timeout(IDLE, self.stream.next()).await.ok(),
            None => None,
        };
        let next = match soon {
            Some(next) => Ok(next),
            None => {
                *turn = None;
                timeout(self.pace.patience().saturating_sub(begun.elapsed()), self.stream.next()).await
            }
        };
        let came = match &next {
            Ok(Some(Ok(chunk))) => chunk.len(),
            _ => 0,
        };
        self.pace.note(begun.elapsed(), came);
        let torn = |slow, text: String| Torn { slow, text: format!("{}: {text}", self.url) };
        match (next, self.pace.slow()) {
            (Ok(Some(Err(e))), _) => Err(torn(e.is_timeout(), chain(&e))),
            (Ok(None), _) => Ok(None),
            (Ok(Some(Ok(chunk))), None) => Ok(Some(chunk)),
            (_, why) => Err(torn(true, why.unwrap_or_else(|| "no byte in time".into()))),
        }
    }
}
