//! Who is who in the cluster: certificates of servers, static tokens of clients.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cofferdam_test_support::{NODE_NAME, UPLINK_V4, run};

use crate::addresses::{API_SERVICE, DNS_DOMAIN, api_url};

/// Whoever talks to the API server from outside of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// May do everything.
    Admin,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kube-proxy.
    Proxy,
    /// The node's kubelet.
    Kubelet,
}

impl Client {
    const ALL: [Client; 5] =
        [Client::Admin, Client::ControllerManager, Client::Scheduler, Client::Proxy, Client::Kubelet];

    /// The user name that RBAC and the Node authorizer know.
    fn user(self) -> String {
        match self {
            Client::Admin => "admin".to_owned(),
            Client::ControllerManager => "system:kube-controller-manager".to_owned(),
            Client::Scheduler => "system:kube-scheduler".to_owned(),
            Client::Proxy => "system:kube-proxy".to_owned(),
            Client::Kubelet => format!("system:node:{NODE_NAME}"),
        }
    }

    fn group(self) -> &'static str {
        match self {
            Client::Admin => "system:masters",
            Client::Kubelet => "system:nodes",
            Client::ControllerManager | Client::Scheduler | Client::Proxy => "",
        }
    }

    /// Names the file, and is the token: whoever can read it is root on this machine.
    fn token(self) -> &'static str {
        match self {
            Client::Admin => "admin",
            Client::ControllerManager => "controller-manager",
            Client::Scheduler => "scheduler",
            Client::Proxy => "proxy",
            Client::Kubelet => "kubelet",
        }
    }
}

/// The files, in one directory.
#[derive(Debug)]
pub struct Credentials {
    dir: PathBuf,
}

impl Credentials {
    /// Makes all of them.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let credentials = Self { dir: dir.to_owned() };
        credentials.keys()?;
        let line = |client: &Client| format!("{0},{1},{1},\"{2}\"\n", client.token(), client.user(), client.group());
        fs::write(credentials.tokens(), Client::ALL.iter().map(line).collect::<String>())?;
        for client in Client::ALL {
            fs::write(credentials.kubeconfig(client), kubeconfig(client, &credentials.authority()))?;
        }
        Ok(credentials)
    }

    /// The certificate of the cluster's authority.
    pub fn authority(&self) -> PathBuf {
        self.file("authority.crt")
    }

    /// Its key.
    pub fn authority_key(&self) -> PathBuf {
        self.file("authority.key")
    }

    /// Certificate and key of the API server as a server.
    pub fn server(&self) -> [PathBuf; 2] {
        [self.file("server.crt"), self.file("server.key")]
    }

    /// Certificate and key with which the API server calls kubelet.
    pub fn kubelet_client(&self) -> [PathBuf; 2] {
        [self.file("kubelet-client.crt"), self.file("kubelet-client.key")]
    }

    /// Private and public key of the tokens of service accounts.
    pub fn service_accounts(&self) -> [PathBuf; 2] {
        [self.file("service-accounts.key"), self.file("service-accounts.pub")]
    }

    /// What `--token-auth-file` takes.
    pub fn tokens(&self) -> PathBuf {
        self.file("tokens.csv")
    }

    /// A client's kubeconfig.
    pub fn kubeconfig(&self, client: Client) -> PathBuf {
        self.file(&format!("{}.kubeconfig", client.token()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn keys(&self) -> Result<()> {
        self.certificate(
            &self.authority(),
            &self.authority_key(),
            "/CN=cofferdam-test",
            &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"],
        )?;
        let names = format!(
            "subjectAltName=IP:{UPLINK_V4},IP:{API_SERVICE},IP:127.0.0.1,DNS:localhost,DNS:kubernetes,\
             DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.{DNS_DOMAIN}"
        );
        let [certificate, key] = self.server();
        self.certificate(&certificate, &key, "/CN=kube-apiserver", &[&names, "extendedKeyUsage=serverAuth"])?;
        let [certificate, key] = self.kubelet_client();
        let subject = "/O=system:masters/CN=kube-apiserver-kubelet-client";
        self.certificate(&certificate, &key, subject, &["extendedKeyUsage=clientAuth"])?;
        let [private, public] = self.service_accounts().map(|path| path.display().to_string());
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &private])?;
        openssl(&["pkey", "-in", &private, "-pubout", "-out", &public])
    }

    /// A key and its certificate, signed by the authority, or by itself when it is the authority's.
    fn certificate(&self, certificate: &Path, key: &Path, subject: &str, extensions: &[&str]) -> Result<()> {
        let text = |path: &Path| path.display().to_string();
        let mut args = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        args.extend(["-days", "2", "-subj", subject]);
        for extension in extensions {
            args.extend(["-addext", extension]);
        }
        let (certificate, key, authority, authority_key) =
            (text(certificate), text(key), text(&self.authority()), text(&self.authority_key()));
        args.extend(["-out", &certificate, "-keyout", &key]);
        if certificate != authority {
            args.extend(["-CA", &authority, "-CAkey", &authority_key]);
        }
        openssl(&args)
    }
}

fn openssl(args: &[&str]) -> Result<()> {
    run("openssl", args).map(drop).context("Debian's ca-certificates brings openssl")
}

fn kubeconfig(client: Client, authority: &Path) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- {{name: test, cluster: {{server: '{url}', certificate-authority: '{authority}'}}}}
users:
- {{name: client, user: {{token: {token}}}}}
contexts:
- {{name: test, context: {{cluster: test, user: client}}}}
current-context: test
",
        url = api_url(),
        authority = authority.display(),
        token = client.token(),
    )
}
