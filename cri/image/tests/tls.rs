//! HTTPS.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cofferdam_image::ImageError;
use cofferdam_test_support::needs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::{Packed, Registry, Tar, image, open};
use tokio_rustls::TlsAcceptor;

/// A certificate for 127.0.0.1 that nobody has signed, in `ca.crt`.
fn acceptor(dir: &Path) -> TlsAcceptor {
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "ca.crt"];
    let mut make = Command::new("openssl");
    make.args(request).args(names).args(leaf).current_dir(dir).stderr(Stdio::null());
    assert!(make.status().unwrap().success());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(dir.join("ca.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_by_its_ca_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start_tls(acceptor(dir.path())).await;
    let image = image(&[(Tar::new().file("f", 0o644, b"x").bytes(), Packed::Gzip)]);
    registry.put("test/a", "1", &image);
    let hosts = dir.path().join("certs.d").join(registry.address.to_string());
    std::fs::create_dir_all(&hosts).unwrap();
    let service = open(dir.path());
    let write = |text: &str| {
        let server = format!("server = \"https://{}\"\n{text}", registry.address);
        std::fs::write(hosts.join("hosts.toml"), server).unwrap();
    };
    write("");
    let error = service.pull(&registry.reference("test/a:1"), None).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("certificate")), "{error}");
    for trust in ["ca = \"../../ca.crt\"\n", "skip_verify = true\n"] {
        write(trust);
        let pulled = service.pull(&registry.reference("test/a:1"), None).await.unwrap();
        assert_eq!(pulled.id, image.id());
        service.remove(&pulled.id).await.unwrap();
    }
}
