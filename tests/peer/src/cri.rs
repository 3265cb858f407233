//! A CRI client that speaks JSON: requests as kubelet's and crictl's files have them, answers with every field there
//! is.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cofferdam_cri_api::FILE_DESCRIPTOR_SET;
use hyper_util::rt::TokioIo;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

use crate::codec::ByDescriptor;

/// What takes longer is broken, and must not stop the run.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection to one runtime.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    pool: DescriptorPool,
}

/// What a call came to.
pub type Answer = Result<Value, Failure>;

/// An error of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The gRPC code, such as `NotFound`.
    pub code: String,
    /// Its words.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

impl Client {
    /// Connects to a runtime's socket.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let path = socket.to_owned();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        let channel = Endpoint::from_static("http://localhost").timeout(LIMIT).connect_with_connector(connect).await;
        let channel = channel.with_context(|| format!("connect to {}", socket.display()))?;
        Ok(Self { channel, pool: DescriptorPool::decode(FILE_DESCRIPTOR_SET)? })
    }

    /// Calls a method of either service by its name. The outer error is a fault of the case: no such method or field.
    pub async fn call(&self, method: &str, request: Value) -> Result<Answer> {
        let method = self.method(method)?;
        let context = || format!("{} cannot take {request}", method.name());
        let request = DynamicMessage::deserialize(method.input(), &request).with_context(context)?;
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.context("the runtime's connection")?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse()?;
        let codec = ByDescriptor { answer: method.output() };
        match grpc.unary(tonic::Request::new(request), path, codec).await {
            Ok(answer) => Ok(Ok(to_json(&answer.into_inner())?)),
            Err(status) => {
                Ok(Err(Failure { code: format!("{:?}", status.code()), message: status.message().to_owned() }))
            }
        }
    }

    fn method(&self, name: &str) -> Result<MethodDescriptor> {
        let found = self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        found.into_iter().find(|method| method.name() == name).with_context(|| format!("CRI has no method {name}"))
    }
}

fn to_json(message: &DynamicMessage) -> Result<Value> {
    let options =
        SerializeOptions::new().skip_default_fields(false).stringify_64_bit_integers(false).use_proto_field_name(true);
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// An error as the comparison sees it: its code, and what its words are about.
pub fn describe(failure: &Failure) -> Value {
    json!({"code": failure.code, "about": subject(&failure.message)})
}

/// What people look for in a message. The first that fits counts; kubelet itself looks at how a message begins.
const SUBJECTS: &[(&str, &[&str])] = &[
    ("RegistryUnavailable", &["RegistryUnavailable"]),
    ("SignatureValidationFailed", &["SignatureValidationFailed"]),
    ("ImageVolumeMountFailed", &["ImageVolumeMountFailed"]),
    ("no such program", &["executable file not found", "no such file or directory", "No such file or directory"]),
    ("permission denied", &["permission denied", "Permission denied"]),
    ("not permitted", &["operation not permitted", "Operation not permitted", "not allowed"]),
    ("in use", &["already exists", "is reserved for", "already in use"]),
    ("digest", &["digest", "checksum"]),
    ("size", &["size", "unexpected EOF", "unexpected end", "truncated"]),
    ("authorization", &[" 401", " 403", "nauthorized", "authorization", "denied", "forbidden", "Forbidden"]),
    ("server error", &[" 500", " 502", " 503", "Internal Server Error"]),
    ("platform", &["platform", "architecture"]),
    ("media type", &["media type", "mediaType", "media-type", "unsupported"]),
    ("not found", &["not found", " 404", "no such", "unable to find", "does not exist", "not exist", "unknown"]),
    ("connection", &["connection refused", "connect"]),
    ("invalid", &["invalid", "must not", "must be", "malformed", "parse", "bad "]),
];

fn subject(message: &str) -> &'static str {
    let fits = |words: &&(&str, &[&str])| words.1.iter().any(|word| message.contains(word));
    SUBJECTS.iter().find(fits).map_or("other", |(subject, _)| subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_different_words_are_about_the_same() {
        let ours = "manifest 127.0.0.1:5001/peer/none:latest: the registry answers 404 Not Found";
        let theirs = "failed to resolve image: 127.0.0.1:5001/peer/none:latest: not found";
        assert_eq!(subject(ours), subject(theirs));
        assert_eq!(subject("RegistryUnavailable: connection refused"), "RegistryUnavailable");
        assert_eq!(subject("whatever"), "other");
    }
}
