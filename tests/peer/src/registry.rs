//! A registry that can give any answer, right or wrong.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cofferdam_test_images::image::Image;
use cofferdam_test_images::layer::Blob;
use cofferdam_test_support::Netns;

/// Where it listens, on 127.0.0.1 of each host.
pub const PORT: u16 = 5001;

/// The full name of an image of this registry: `name("probe")`.
pub fn name(image: &str) -> String {
    format!("127.0.0.1:{PORT}/peer/{image}:latest")
}

/// What is answered to one path.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header lines besides the length.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
    /// How much of the body is sent before the connection ends, when that is not all.
    pub cut: Option<usize>,
}

impl Reply {
    /// A status, with a body of that media type.
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![format!("Content-Type: {media_type}")], body: body.into(), cut: None }
    }

    /// Another header.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    /// Only so many bytes are sent.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }
}

/// Answers by path. What begins with a guarded path needs an `Authorization` header first.
#[derive(Debug, Default)]
pub struct Store {
    replies: BTreeMap<String, Reply>,
    guarded: Vec<(String, String, Reply)>,
}

impl Store {
    /// An image at `peer/NAME:latest`.
    #[must_use]
    pub fn image(self, name: &str, image: &Image) -> Self {
        let store = self.manifest(name, image.media_type, &image.manifest);
        image.layers.iter().chain([&image.config]).fold(store, |store, blob| store.blob(name, blob))
    }

    /// A manifest or index at `peer/NAME:latest` and at its digest.
    #[must_use]
    pub fn manifest(self, name: &str, media_type: &str, blob: &Blob) -> Self {
        let reply =
            Reply::new(200, media_type, blob.data.clone()).header(&format!("Docker-Content-Digest: {}", blob.digest));
        let at_digest = format!("manifests/{}", blob.digest);
        self.reply(name, "manifests/latest", reply.clone()).reply(name, &at_digest, reply)
    }

    /// A blob of the repository `peer/NAME`.
    #[must_use]
    pub fn blob(self, name: &str, blob: &Blob) -> Self {
        let reply = Reply::new(200, "application/octet-stream", blob.data.clone());
        self.reply(name, &format!("blobs/{}", blob.digest), reply)
    }

    /// The answer to one path of a repository, such as `manifests/latest`.
    #[must_use]
    pub fn reply(mut self, name: &str, path: &str, reply: Reply) -> Self {
        self.replies.insert(format!("/v2/peer/{name}/{path}"), reply);
        self
    }

    /// The answer to one path.
    #[must_use]
    pub fn at(mut self, path: &str, reply: Reply) -> Self {
        self.replies.insert(path.to_owned(), reply);
        self
    }

    /// A repository that answers `refusal` to whoever does not send this `Authorization`.
    #[must_use]
    pub fn guard(mut self, name: &str, authorization: &str, refusal: Reply) -> Self {
        self.guarded.push((format!("/v2/peer/{name}/"), authorization.to_owned(), refusal));
        self
    }

    /// Adds what another store answers, which wins.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.replies.extend(other.replies);
        self.guarded.extend(other.guarded);
        self
    }

    fn answer(&self, path: &str, authorization: &str) -> Reply {
        let guard = self.guarded.iter().find(|(prefix, wanted, _)| path.starts_with(prefix) && authorization != wanted);
        if let Some((_, _, refusal)) = guard {
            return refusal.clone();
        }
        let plain = path.split('?').next().unwrap_or_default();
        let missing = || {
            Reply::new(
                404,
                "application/json",
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            )
        };
        let root = || (plain == "/v2/").then(|| Reply::new(200, "application/json", "{}"));
        self.replies.get(plain).cloned().or_else(root).unwrap_or_else(missing)
    }
}

/// A running registry; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves inside a network namespace.
    pub fn start(netns: &Netns, store: &Arc<Store>) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).context("listen"))?;
        listener.set_nonblocking(true)?;
        let end = Arc::new(AtomicBool::new(false));
        let (store, ends) = (Arc::clone(store), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let store = Arc::clone(&store);
                        std::thread::spawn(move || serve(&stream, &store));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request a connection. Whoever goes away early is no fault of ours.
fn serve(stream: &TcpStream, store: &Store) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut lines = BufReader::new(stream).lines().map_while(std::io::Result::ok);
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut authorization = String::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            value.trim().clone_into(&mut authorization);
        }
    }
    let _ = send(stream, &store.answer(path, &authorization), method == "HEAD");
}

fn send(mut stream: &TcpStream, reply: &Reply, head: bool) -> std::io::Result<()> {
    let mut text =
        format!("HTTP/1.1 {} Answer\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for line in &reply.headers {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes())?;
    if !head {
        let length = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        stream.write_all(&reply.body[..length])?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_repository_wants_its_authorization() {
        let refusal = Reply::new(401, "text/plain", "who are you");
        let store = Store::default().guard("secret", "Basic abc", refusal).reply(
            "secret",
            "blobs/x",
            Reply::new(200, "a/b", "x"),
        );
        assert_eq!(store.answer("/v2/peer/secret/blobs/x", "").status, 401);
        assert_eq!(store.answer("/v2/peer/secret/blobs/x", "Basic abc").status, 200);
    }

    #[test]
    fn what_is_not_there_is_a_404_and_a_query_does_not_count() {
        let store = Store::default().at("/token", Reply::new(200, "a/b", "x"));
        assert_eq!(store.answer("/token?service=y", "").status, 200);
        assert_eq!(store.answer("/v2/", "").status, 200);
        assert_eq!(store.answer("/v2/peer/none/manifests/latest", "").status, 404);
    }
}
