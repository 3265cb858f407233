//! A protobuf message beside the bytes it was decoded from.
//!
//! The bytes are what is stored, so that a field unknown to this release survives it. They are decoded once, when the
//! record is made or read; copies share both.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An encoded message and its decoded form. Stored as base64.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded<M>(Arc<Both<M>>);

#[derive(Debug, PartialEq)]
struct Both<M> {
    bytes: Vec<u8>,
    message: M,
    error: Option<String>,
}

impl<M: Message + Default> Encoded<M> {
    /// Encodes a message.
    pub fn new(message: M) -> Self {
        Encoded(Arc::new(Both { bytes: message.encode_to_vec(), message, error: None }))
    }

    /// Decodes what an earlier daemon stored. Bytes that do not decode are kept and give the empty message: the
    /// record's own fields still tell what the object is, so it can be stopped and removed. Whoever takes something
    /// absent for a permission asks [`Encoded::error`] before.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let (message, error) = match M::decode(bytes.as_slice()) {
            Ok(message) => (message, None),
            Err(error) => {
                tracing::error!(%error, message = std::any::type_name::<M>(), "a stored message cannot be decoded");
                (M::default(), Some(error.to_string()))
            }
        };
        Encoded(Arc::new(Both { bytes, message, error }))
    }
}

impl<M> Encoded<M> {
    /// Why the stored bytes could not be decoded, if they could not.
    pub fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }
}

impl<M> std::ops::Deref for Encoded<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.0.message
    }
}

impl<M: Message + Default> From<M> for Encoded<M> {
    fn from(message: M) -> Self {
        Encoded::new(message)
    }
}

impl<M> Serialize for Encoded<M> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0.bytes))
    }
}

impl<'de, M: Message + Default> Deserialize<'de> for Encoded<M> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Encoded::from_bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_cri_api::v1 as cri;

    use super::*;

    #[test]
    fn a_message_is_stored_as_the_bytes_it_came_from() {
        let mut bytes = cri::ContainerConfig { tty: true, ..Default::default() }.encode_to_vec();
        // Field 2000, a varint: no release knows it.
        bytes.extend([0x80, 0x7d, 1]);
        let stored = serde_json::to_string(&Encoded::<cri::ContainerConfig>::from_bytes(bytes.clone())).unwrap();
        let read: Encoded<cri::ContainerConfig> = serde_json::from_str(&stored).unwrap();
        assert!(read.tty && read.0.bytes == bytes);
    }

    #[test]
    fn bytes_that_do_not_decode_are_kept() {
        let broken = Encoded::<cri::ContainerConfig>::from_bytes(vec![0, 255]);
        assert!(broken.error().is_some());
        assert_eq!((&*broken, &broken.0.bytes), (&cri::ContainerConfig::default(), &vec![0, 255]));
    }
}
