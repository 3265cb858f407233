//! TLS as an endpoint is configured: who is trusted, and which certificate one shows.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::place::Tls;
use crate::ImageError;

/// Reads the files that `tls` names; those of the node where they matter. Blocking.
pub(crate) fn config(tls: &Tls) -> Result<ClientConfig, ImageError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(tls, &provider)?;
    let keys = tls.client.iter().map(|(certificate, key)| pair(certificate, key.as_deref(), &provider));
    let keys = Keys(keys.collect::<Result<_, _>>()?);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ImageError::Failed(format!("TLS: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match keys.0.is_empty() {
        true => config.with_no_client_auth(),
        false => config.with_client_cert_resolver(Arc::new(keys)),
    })
}

fn bad(path: &Path, what: impl std::fmt::Display) -> ImageError {
    ImageError::Invalid(format!("{}: {what}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(|e| ImageError::io(path.display(), e))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ImageError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| bad(path, e))?;
    if all.is_empty() { Err(bad(path, "has no certificate in PEM form")) } else { Ok(all) }
}

fn pair(certificate: &Path, key: Option<&Path>, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, ImageError> {
    let pem = read(certificate)?;
    let chain = certificates(certificate, &pem)?;
    let key = match key {
        Some(path) => PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|e| bad(path, e))?,
        None => PrivateKeyDer::from_pem_slice(&pem).map_err(|e| bad(certificate, format!("no key: {e}")))?,
    };
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(|e| bad(certificate, e))
}

/// Client certificates; the first that the server can verify is shown.
#[derive(Debug)]
struct Keys(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for Keys {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.iter().find(|one| one.key.choose_scheme(schemes).is_some()).cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

#[derive(Debug)]
struct Verifier {
    /// None: nobody is trusted, or everybody.
    inner: Option<Arc<WebPkiServerVerifier>>,
    everybody: bool,
    /// The roots themselves. A registry's own certificate, as `openssl req -x509` makes it, says that it is a CA, and
    /// webpki takes no such one from a server. Go does where it is among the roots, and so does who follows the
    /// instructions of Docker's registry.
    roots: HashSet<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self, ImageError> {
        let (mut store, mut roots) = (RootCertStore::empty(), HashSet::new());
        if !tls.skip_verify {
            // What cannot be read of the node's own is as if it were not there; the handshake then says who is unknown.
            roots.extend(rustls_native_certs::load_native_certs().certs);
            for path in &tls.ca {
                roots.extend(certificates(path, &read(path)?)?);
            }
            store.add_parsable_certificates(roots.iter().cloned());
        }
        let inner = match store.is_empty() {
            true => None,
            false => {
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
                Some(builder.build().map_err(|e| ImageError::Failed(format!("TLS: {e}")))?)
            }
        };
        Ok(Verifier { inner, everybody: tls.skip_verify, roots, provider: provider.clone() })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.everybody {
            return Ok(ServerCertVerified::assertion());
        }
        let inner = self.inner.as_ref().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // Said after the dates were looked at, and before the name.
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.to_string() == "CaUsedAsEndEntity" && self.roots.contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
