//! `image pull|load|list|rm`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Subcommand;
use cofferdam_admin_api::v1::ImageLoadRequest;
use cofferdam_cri_api::v1 as cri;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;

use super::connect::Clients;
use super::error::CliError;
use super::output::{ListArgs, Show, bytes, print, short, show, table};
use super::pull::pull_with_progress;

/// Of one message of a load: below gRPC's usual limit of 4 MiB.
const CHUNK: usize = 1 << 20;

/// `image`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch an image from its registry
    Pull {
        /// Reference: `NAME[:TAG][@DIGEST]`
        #[arg(value_name = "IMAGE")]
        image: String,
        /// USER:PASSWORD for its registry; the password may be left out and stand in COFFERDAM_REGISTRY_PASSWORD
        #[arg(long, value_name = "USER[:PASSWORD]")]
        creds: Option<String>,
    },
    /// Read an image archive (OCI or docker layout)
    Load {
        /// The archive, or - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List images
    List(ListArgs),
    /// Remove images; one that is absent is no error
    Rm {
        /// Names or ids
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
}

/// Runs it.
pub async fn run(mut clients: Clients, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Pull { image, creds } => {
            let id = pull_with_progress(&mut clients, &image, creds.map(auth).transpose()?).await?;
            print(&id)?;
            Ok(0)
        }
        Command::Load { file } => load(clients, file).await,
        Command::List(args) => list(clients, args).await,
        Command::Rm { images } => {
            for image in images {
                let spec = cri::ImageSpec { image: image.clone(), ..Default::default() };
                let request = cri::RemoveImageRequest { image: Some(spec) };
                clients.images.remove_image(request).await.map_err(CliError::at(image))?;
            }
            Ok(0)
        }
    }
}

fn auth(creds: String) -> Result<cri::AuthConfig, CliError> {
    let (username, password) = match creds.split_once(':') {
        Some((user, password)) => (user.to_owned(), password.to_owned()),
        None => {
            let password = std::env::var("COFFERDAM_REGISTRY_PASSWORD");
            let missing = |_| CliError::Other("--creds has no password, nor has COFFERDAM_REGISTRY_PASSWORD".into());
            (creds, password.map_err(missing)?)
        }
    };
    Ok(cri::AuthConfig { username, password, ..Default::default() })
}

async fn load(mut clients: Clients, path: PathBuf) -> Result<u8, CliError> {
    let (reader, length): (Box<dyn Read + Send>, u64) = if path.as_os_str() == "-" {
        (Box::new(std::io::stdin()), 0)
    } else {
        let file = File::open(&path).map_err(CliError::io(&path))?;
        let length = file.metadata().map_err(CliError::io(&path))?.len();
        (Box::new(file), length)
    };
    let bar = if length > 0 { ProgressBar::new(length) } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed}") {
        bar.set_style(style);
    }
    let (to, chunks) = mpsc::channel(4);
    let sent = bar.clone();
    let reading = tokio::task::spawn_blocking(move || read_chunks(reader, &to, &sent));
    let answer = clients.admin.image_load(tokio_stream::wrappers::ReceiverStream::new(chunks)).await;
    bar.finish_and_clear();
    // An archive that could not be read to its end is the cause of whatever the daemon says.
    if answer.is_ok() || reading.is_finished() {
        reading.await.map_err(|e| CliError::Other(e.to_string()))?.map_err(CliError::io(&path))?;
    }
    let answer = answer.map_err(CliError::at(format!("load {}", path.display())))?.into_inner();
    print(&answer.images.join("\n"))?;
    Ok(0)
}

/// Ends early, without an error, when the daemon wants no more.
fn read_chunks(mut from: impl Read, to: &mpsc::Sender<ImageLoadRequest>, sent: &ProgressBar) -> std::io::Result<()> {
    let mut first = true;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        (&mut from).take(CHUNK as u64).read_to_end(&mut chunk)?;
        sent.inc(chunk.len() as u64);
        if std::mem::take(&mut first)
            && let Some(with) = compression(&chunk)
        {
            let reason = format!("is compressed; `{with} -dc FILE | cofferdam image load -` reads it");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
        }
        if chunk.is_empty() || to.blocking_send(ImageLoadRequest { chunk }).is_err() {
            return Ok(());
        }
    }
}

/// The program that decompresses it, by how it begins; `None` of an archive.
fn compression(begin: &[u8]) -> Option<&'static str> {
    let magic: [(&[u8], &'static str); 3] =
        [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz")];
    magic.iter().find(|(bytes, _)| begin.starts_with(bytes)).map(|(_, program)| *program)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: String,
    tags: Vec<String>,
    digests: Vec<String>,
    size: u64,
    pinned: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Views(Vec<View>);

impl Show for Views {
    fn text(&self) -> String {
        let row = |i: &View| {
            let name = i.tags.first().or(i.digests.first()).cloned().unwrap_or_default();
            let name = if i.tags.len() > 1 { i.tags.join(",") } else { name };
            vec![name, short(&i.id), bytes(i.size), if i.pinned { "yes".into() } else { String::new() }]
        };
        table(&["IMAGE", "ID", "SIZE", "PINNED"], self.0.iter().map(row))
    }
}

async fn list(mut clients: Clients, args: ListArgs) -> Result<u8, CliError> {
    let images = clients.images.list_images(cri::ListImagesRequest { filter: None }).await?.into_inner().images;
    let view =
        |i: cri::Image| View { id: i.id, tags: i.repo_tags, digests: i.repo_digests, size: i.size, pinned: i.pinned };
    let mut views: Vec<View> = images.into_iter().map(view).collect();
    views.sort_by(|a, b| (&a.tags, &a.id).cmp(&(&b.tags, &b.id)));
    show(&Views(views), args.output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_shown_by_its_digest() {
        let digests = vec!["r/i@sha256:1".to_owned()];
        let view = View { id: "sha256:0123456789abcdef".into(), tags: vec![], digests, size: 2048, pinned: false };
        let text = Views(vec![view]).text();
        let cells: Vec<&str> = text.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(cells, ["r/i@sha256:1", "0123456789ab", "2.00", "KiB", "-"]);
    }

    #[test]
    fn credentials_are_a_name_and_a_password() {
        let both = auth("me:a:b".into()).unwrap();
        assert_eq!((both.username.as_str(), both.password.as_str()), ("me", "a:b"));
    }

    #[test]
    fn a_compressed_archive_is_refused_with_what_reads_it() {
        let (to, mut chunks) = mpsc::channel(4);
        let error = read_chunks(&b"\x1f\x8b\x08rest"[..], &to, &ProgressBar::hidden()).unwrap_err();
        assert!(error.to_string().contains("gzip -dc"), "{error}");
        assert!(chunks.try_recv().is_err());
        read_chunks(&b"index.json\0"[..], &to, &ProgressBar::hidden()).unwrap();
        assert_eq!(chunks.try_recv().unwrap().chunk, b"index.json\0");
    }
}
