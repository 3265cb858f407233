//! One layer: bytes from anywhere -> hash and ingest file -> confined child -> its place in the store.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::names::Hash;
use crate::store::{Store, Usage};
use crate::unpack::{Helper, Limits, Report, Unpacker};
use crate::{ImageError, files, names};

/// Chunks between the network and the disk.
const AHEAD: usize = 64;
const BLOCK: usize = 256 << 10;

/// What a layer must be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Of the compressed bytes; none in archives that do not say.
    pub digest: Option<String>,
    /// Of the tar.
    pub diff_id: String,
}

/// How layers are unpacked.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub store: std::sync::Arc<Store>,
    pub helper: Helper,
    pub limits: Limits,
}

enum Piece {
    Data(Bytes),
    End,
}

/// A layer that is being written. Dropped before its end, it is undone; the ingest file stays.
pub(crate) struct Writer {
    pieces: mpsc::Sender<Piece>,
    end: oneshot::Receiver<Result<Usage, ImageError>>,
}

impl Writer {
    /// Starts with what the ingest file has. A slow registry holds a thread for long, so it has one of its own: those
    /// of the runtime are for every request.
    pub fn start(shop: &Workshop, wanted: Wanted, ingest: Option<Ingest>) -> Result<Self, ImageError> {
        let (pieces, incoming) = mpsc::channel(AHEAD);
        let (done, end) = oneshot::channel();
        let shop = shop.clone();
        let work = move || {
            // Nobody waits any more: it was given up.
            let _ = done.send(write(&shop, &wanted, ingest, Incoming::Pieces(incoming)));
        };
        std::thread::Builder::new()
            .name("layer".into())
            .spawn(work)
            .map_err(|e| ImageError::io("start a thread for a layer", e))?;
        Ok(Writer { pieces, end })
    }

    /// Hands over the next bytes. False: the layer has failed, and `finish` says why.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.pieces.send(Piece::Data(bytes)).await.is_ok()
    }

    /// All bytes are there.
    pub async fn finish(self) -> Result<Usage, ImageError> {
        // A thread that has ended says by its result why.
        let _ = self.pieces.send(Piece::End).await;
        drop(self.pieces);
        self.end.await.unwrap_or_else(|e| Err(ImageError::Failed(format!("unpack: {e}"))))
    }
}

/// Unpacks what a reader gives. Blocking.
pub(crate) fn unpack(shop: &Workshop, wanted: &Wanted, from: impl Read + 'static) -> Result<Usage, ImageError> {
    write(shop, wanted, None, Incoming::Reader(Box::new(from)))
}

enum Incoming {
    Pieces(mpsc::Receiver<Piece>),
    Reader(Box<dyn Read>),
}

fn write(
    shop: &Workshop,
    wanted: &Wanted,
    mut ingest: Option<Ingest>,
    incoming: Incoming,
) -> Result<Usage, ImageError> {
    let key = names::hex_of(&wanted.diff_id)?;
    let target = new_dir(shop.store.root(), key).map_err(|e| ImageError::io("make a layer", e))?;
    let done = fill(shop, wanted, ingest.as_mut(), incoming, &target.0);
    let report = match done {
        Ok(report) => report,
        Err(e) => {
            // What is broken is not worth resuming, and a full disk needs the space.
            if let (Some(ingest), ImageError::Invalid(_) | ImageError::Exhausted(_)) = (ingest, &e) {
                let _ = ingest.remove();
            }
            return Err(e);
        }
    };
    if report.devices > 0 {
        tracing::info!(layer = %wanted.diff_id, count = report.devices, "device nodes of the layer are left out");
    }
    let usage = Usage { bytes: report.bytes, inodes: report.inodes };
    shop.store.note_implied(key, &report.implied).map_err(|e| ImageError::io("note a layer's directories", e))?;
    shop.store.publish(&target.0, key, usage).map_err(|e| ImageError::io("put a layer in place", e))?;
    if let Some(ingest) = ingest {
        ingest.remove().map_err(|e| ImageError::io("remove an ingest file", e))?;
    }
    Ok(usage)
}

fn fill(
    shop: &Workshop,
    wanted: &Wanted,
    ingest: Option<&mut Ingest>,
    incoming: Incoming,
    target: &Path,
) -> Result<Report, ImageError> {
    let unpacker = Unpacker::start(&shop.helper, &shop.limits, target)?;
    let hash = Hash::like(wanted.digest.as_deref());
    let mut feed = Feed { unpacker: Ok(unpacker), hash, whole: true };
    let mut ingest = ingest;
    if let Some(ingest) = &mut ingest {
        ingest.replay(|bytes| feed.put(bytes))?;
    }
    match incoming {
        Incoming::Reader(mut from) => {
            let mut block = vec![0; BLOCK];
            loop {
                match from.read(&mut block).map_err(|e| ImageError::io("read the layer", e))? {
                    0 => break,
                    n if feed.put(&block[..n]) => {}
                    _ => break,
                }
            }
        }
        Incoming::Pieces(mut pieces) => loop {
            match pieces.blocking_recv() {
                Some(Piece::Data(bytes)) => {
                    if let Some(ingest) = &mut ingest {
                        ingest.append(&bytes);
                    }
                    if !feed.put(&bytes) {
                        break;
                    }
                }
                Some(Piece::End) => break,
                None => return Err(ImageError::Unavailable("the download was given up".into())),
            }
        },
    }
    let digest = feed.hash.digest();
    let report = feed.unpacker.and_then(Unpacker::finish);
    // A wrong digest is the cause of whatever the unpacker met, unless it stopped half way.
    if let Some(wanted) = wanted.digest.as_ref().filter(|wanted| feed.whole && **wanted != digest) {
        return Err(ImageError::Invalid(format!("layer {wanted}: its digest is {digest}")));
    }
    let report =
        report.map_err(|e| e.context(format!("layer {}", wanted.digest.as_ref().unwrap_or(&wanted.diff_id))))?;
    if report.diff_id != wanted.diff_id {
        let text = format!("layer {}: unpacked, its digest is {}, not {}", digest, report.diff_id, wanted.diff_id);
        return Err(ImageError::Invalid(text));
    }
    Ok(report)
}

/// Both ways of every byte: into the hash, and into the unpacker until that gives up.
struct Feed {
    unpacker: Result<Unpacker, ImageError>,
    hash: Hash,
    /// The hash is that of all bytes.
    whole: bool,
}

impl Feed {
    /// False: more bytes are of no use. Of a layer that is wrong in itself the rest is still wanted, to tell whether it
    /// is the one that was asked for; of one that fills the disk it is not.
    fn put(&mut self, bytes: &[u8]) -> bool {
        self.hash.update(bytes);
        let Ok(unpacker) = &mut self.unpacker else { return self.whole };
        if unpacker.feed(bytes) {
            return true;
        }
        let over = || ImageError::Failed("the unpacker ended before its input".into());
        let ended = std::mem::replace(&mut self.unpacker, Err(over()));
        let error = ended.and_then(Unpacker::finish).err().unwrap_or_else(over);
        self.whole = matches!(error, ImageError::Invalid(_));
        self.unpacker = Err(error);
        self.whole
    }
}

/// A directory for a layer, removed again unless it was moved away.
struct NewDir(PathBuf);

impl Drop for NewDir {
    fn drop(&mut self) {
        // Not later: the disk may be full because of it.
        if let Err(e) = cofferdam_tree::remove(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %e, "a half-made layer stays until the next start");
        }
    }
}

fn new_dir(root: &Path, key: &str) -> std::io::Result<NewDir> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = root.join("layers").join(format!(".new-{}-{key}", COUNT.fetch_add(1, Relaxed)));
    std::fs::create_dir(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(NewDir(path))
}

/// The compressed bytes so far, so that another attempt, or the next daemon, goes on from there.
pub(crate) struct Ingest {
    file: File,
    path: PathBuf,
    length: u64,
    broken: bool,
}

impl Ingest {
    /// None if another pull writes the same blob at this moment.
    pub fn open(path: PathBuf, limit: u64) -> std::io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let length = file.metadata()?.len();
        if length > limit {
            file.set_len(0)?;
        }
        Ok(Some(Ingest { file, path, length: if length > limit { 0 } else { length }, broken: false }))
    }

    /// Bytes that are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Starts anew.
    pub fn clear(&mut self) -> std::io::Result<()> {
        self.length = 0;
        self.file.set_len(0)?;
        self.file.rewind()
    }

    fn replay(&mut self, mut put: impl FnMut(&[u8]) -> bool) -> Result<(), ImageError> {
        let failed = |e| ImageError::io("read an ingest file", e);
        self.file.rewind().map_err(failed)?;
        let mut block = vec![0; BLOCK];
        let mut left = self.length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let n = self.file.read(&mut block[..most]).map_err(failed)?;
            if n == 0 {
                return Err(ImageError::Failed("an ingest file has shrunk".into()));
            }
            left -= n as u64;
            if !put(&block[..n]) {
                break;
            }
        }
        Ok(())
    }

    /// Only a help for later: if it cannot be written, the download goes on without it.
    fn append(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        match self.file.write_all(bytes) {
            Ok(()) => self.length += bytes.len() as u64,
            Err(e) => {
                tracing::warn!(error = %e, "a download can not be resumed");
                self.broken = true;
                let _ = self.file.set_len(0);
            }
        }
    }

    fn remove(self) -> std::io::Result<()> {
        files::remove_file(&self.path)
    }
}
