//! HTTPS.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cofferdam_image::{ImageError, ImageService};
use cofferdam_test_support::needs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use support::{Packed, Registry, Tar, image, open};
use tokio_rustls::TlsAcceptor;

/// As `openssl req -x509` makes it, unless there are other options: for this name, and a CA by its own words.
fn certificate(dir: &Path, name: &str, options: &[&str]) {
    let request =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test"];
    let (key, file) = (format!("{name}.key"), format!("{name}.crt"));
    let mut make = Command::new("openssl");
    make.args(request).args(["-keyout", &key, "-out", &file]).args(options).current_dir(dir).stderr(Stdio::null());
    assert!(make.status().unwrap().success());
}

/// The same, whose time is over.
fn expired(dir: &Path) {
    certificate(dir, "server", &[]);
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nrand_serial=yes\nnew_certs_dir=.\ndefault_md=sha256\n\
        policy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n\
        [e]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:TRUE\n";
    std::fs::write(dir.join("ca.cnf"), config).unwrap();
    std::fs::write(dir.join("index"), "").unwrap();
    let request = "openssl req -new -key server.key -subj /CN=test -out request";
    let sign = "openssl ca -batch -notext -selfsign -config ca.cnf -keyfile server.key -in request -out server.crt \
        -startdate 20200101000000Z -enddate 20200102000000Z";
    let mut make = Command::new("sh");
    make.args(["-ec", &format!("{request}; {sign}")]).current_dir(dir).stderr(Stdio::null()).stdout(Stdio::null());
    assert!(make.status().unwrap().success());
}

const LOCAL: &str = "subjectAltName=IP:127.0.0.1";
const LEAF: [&str; 4] = ["-addext", LOCAL, "-addext", "basicConstraints=critical,CA:FALSE"];

/// A server with `NAME.crt`, which wants clients to show a certificate of that authority.
fn acceptor(dir: &Path, name: &str, clients: Option<&str>) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pem = |name: &str| CertificateDer::from_pem_file(dir.join(format!("{name}.crt"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
    let config = rustls::ServerConfig::builder();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pem(authority)).unwrap();
            config.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        }
    };
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![pem(name)], key).unwrap()))
}

struct Bed {
    dir: tempfile::TempDir,
    registry: Registry,
    service: ImageService,
}

impl Bed {
    /// With the certificates of `make`, of which the registry has `server`.
    async fn new(make: impl FnOnce(&Path), clients: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let registry = Registry::start_tls(acceptor(dir.path(), "server", clients)).await;
        registry.put("test/a", "1", &image(&[(Tar::new().file("f", 0o644, b"x").bytes(), Packed::Gzip)]));
        std::fs::create_dir_all(dir.path().join("certs.d").join(registry.address.to_string())).unwrap();
        let service = open(dir.path());
        Bed { dir, registry, service }
    }

    /// Pulls with these files beside `hosts.toml`; a content of one file's name is that file's.
    async fn pull(&self, files: &[(&str, &str)]) -> Result<(), ImageError> {
        let hosts = self.dir.path().join("certs.d").join(self.registry.address.to_string());
        std::fs::remove_dir_all(&hosts).unwrap();
        std::fs::create_dir(&hosts).unwrap();
        for (name, content) in files {
            let content = std::fs::read(self.dir.path().join(content)).unwrap_or_else(|_| content.as_bytes().to_vec());
            std::fs::write(hosts.join(name), content).unwrap();
        }
        let pulled = self.service.pull(&self.registry.reference("test/a:1"), None).await?;
        self.service.remove(&pulled.id).await
    }

    fn server(&self, rest: &str) -> String {
        format!("server = \"https://{}\"\n{rest}", self.registry.address)
    }
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_by_its_ca_or_not_at_all() {
    let bed = Bed::new(|dir| certificate(dir, "server", &LEAF), None).await;
    let error = bed.pull(&[("hosts.toml", &bed.server(""))]).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("certificate")), "{error}");
    bed.pull(&[("hosts.toml", &bed.server("ca = \"../../server.crt\"\n"))]).await.unwrap();
    bed.pull(&[("hosts.toml", &bed.server("skip_verify = true\n"))]).await.unwrap();
    // On this machine, of which nothing is said, any will do.
    bed.pull(&[]).await.unwrap();
    let error = bed.pull(&[("hosts.toml", &bed.server("ca = \"none.pem\"\n"))]).await.unwrap_err();
    assert!(error.to_string().contains("none.pem"), "{error}");
    let error = bed.pull(&[("hosts.toml", &bed.server("ca = \"hosts.toml\"\n"))]).await.unwrap_err();
    assert!(matches!(&error, ImageError::Invalid(text) if text.contains("no certificate")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_that_calls_itself_a_ca_is_trusted_where_it_is_named() {
    let bed = Bed::new(|dir| certificate(dir, "server", &["-addext", LOCAL]), None).await;
    bed.pull(&[("hosts.toml", &bed.server("ca = \"my.pem\"\n")), ("my.pem", "server.crt")]).await.unwrap();
    bed.pull(&[("ca.crt", "server.crt")]).await.unwrap();
    let error = bed.pull(&[("hosts.toml", &bed.server(""))]).await.unwrap_err();
    assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("certificate")), "{error}");
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_certificate_of_another_name_or_of_yesterday_is_refused() {
    let other = |dir: &Path| certificate(dir, "server", &["-addext", "subjectAltName=IP:127.0.0.2"]);
    for make in [&other as &dyn Fn(&Path), &expired] {
        let bed = Bed::new(make, None).await;
        let files = [("hosts.toml", bed.server("ca = \"my.pem\"\n")), ("my.pem", "server.crt".into())];
        let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
        let error = bed.pull(&files).await.unwrap_err();
        assert!(matches!(&error, ImageError::Unavailable(text) if text.contains("certificate")), "{error}");
    }
}

#[needs(root)]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_in_each_of_its_forms() {
    let make = |dir: &Path| {
        certificate(dir, "server", &LEAF);
        certificate(dir, "me", &["-addext", "basicConstraints=critical,CA:FALSE"]);
        let both = [std::fs::read(dir.join("me.crt")).unwrap(), std::fs::read(dir.join("me.key")).unwrap()].concat();
        std::fs::write(dir.join("both.pem"), both).unwrap();
    };
    let bed = Bed::new(make, Some("me")).await;
    let ca = ("ca.crt", "server.crt");
    assert!(bed.pull(&[ca]).await.is_err());
    bed.pull(&[ca, ("me.cert", "me.crt"), ("me.key", "me.key")]).await.unwrap();
    bed.pull(&[ca, ("me.cert", "both.pem")]).await.unwrap();
    for client in ["\"both.pem\"", "[\"both.pem\"]", "[[\"c\", \"k\"]]"] {
        let text = bed.server(&format!("ca = \"ca.crt\"\nclient = {client}\n"));
        let files = [ca, ("hosts.toml", &text), ("both.pem", "both.pem"), ("c", "me.crt"), ("k", "me.key")];
        bed.pull(&files).await.unwrap();
    }
    let text = bed.server("ca = \"ca.crt\"\nclient = [[\"c\", \"none\"]]\n");
    let error = bed.pull(&[ca, ("hosts.toml", &text), ("c", "me.crt")]).await.unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}
