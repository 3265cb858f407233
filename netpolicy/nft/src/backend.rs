//! The one table of this node, and who may write it.
//!
//! State: the owner's socket with its next sequence number, changed only by `apply` under the lock. The table belongs
//! to the socket (flags owner and persist, kernel 6.9): others can read it, not change it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cofferdam_netpolicy::backend::{BackendError, RuleBackend};
use cofferdam_netpolicy::diff::{Batch, Op};
use cofferdam_netpolicy::ir::Snapshot;

use crate::encode::{Encoded, encode};
use crate::ffi::Scratch;
use crate::holder::{Holder, HolderCommand};
use crate::read::Reader;
use crate::socket::Socket;

const OWNER: u32 = 2;
const PERSIST: u32 = 4;

/// Owns the table through one netlink socket.
pub struct NftBackend {
    table: String,
    /// Flags of the table: owner and persist, or 0 where the kernel lacks them.
    flags: u32,
    inner: Mutex<Inner>,
    holder: Option<Holder>,
    /// By it the kernel tells our changes from those of others.
    port: u32,
    /// Chains of other tables that drop what is forwarded, for `status`.
    others: Mutex<Vec<String>>,
}

struct Inner {
    socket: Socket,
    scratch: Scratch,
    seq: u32,
    /// A table of our name exists that nobody owns and that cannot be adopted: the first batch replaces it.
    stale: bool,
}

impl NftBackend {
    /// Takes the table: from the holder if there is one, else with a new socket (adopting a table whose owner is gone).
    ///
    /// `holder` starts the process that keeps the socket; without one the table loses its owner when this process ends.
    /// Must run in the host's network namespace, in which the holder was started too.
    ///
    /// # Errors
    /// [`BackendError::Foreign`] if another process owns the table.
    pub fn open(table: &str, holder: Option<HolderCommand>) -> Result<Self, BackendError> {
        Self::open_with(table, holder, true)
    }

    /// The same without the flags, as it is on a kernel that lacks them.
    ///
    /// # Errors
    /// As [`NftBackend::open`].
    pub fn open_unowned(table: &str) -> Result<Self, BackendError> {
        Self::open_with(table, None, false)
    }

    fn open_with(table: &str, holder: Option<HolderCommand>, owned: bool) -> Result<Self, BackendError> {
        let io = |step: &str| {
            let step = step.to_owned();
            move |source| BackendError::Io { step, source }
        };
        let taken = holder
            .as_ref()
            .map(Holder::take)
            .transpose()
            .map_err(io("take the netlink socket from the holder"))?
            .flatten();
        let (socket, link) = match taken {
            Some((fd, link)) => (Socket::adopt(fd).map_err(io("adopt the holder's netlink socket"))?, Some(link)),
            None => (Socket::open().map_err(io("open a netlink socket"))?, None),
        };
        socket.drain().map_err(io("drain the netlink socket"))?;
        let mut inner = Inner { socket, scratch: Scratch::default(), seq: first_sequence_number(), stale: false };
        let flags = if owned && inner.has_owner_flag(table) { OWNER | PERSIST } else { 0 };
        inner.claim(table, flags)?;
        let holder = match holder {
            Some(command) => {
                Some(Holder::supervise(command, &inner.socket, link).map_err(io("start the netlink socket's holder"))?)
            }
            None => None,
        };
        let port = inner.socket.port();
        Ok(NftBackend {
            table: table.to_owned(),
            flags,
            inner: Mutex::new(inner),
            holder,
            port,
            others: Mutex::default(),
        })
    }

    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    pub(crate) fn set_others(&self, found: Vec<String>) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Process id of the holder (`status -o json`: holderPid).
    pub fn holder_pid(&self) -> Option<u32> {
        self.holder.as_ref().and_then(Holder::pid)
    }

    /// Deletes the table and ends the holder: the daemon ends and no sandbox is left.
    pub fn shutdown(&self) -> Result<(), BackendError> {
        let mut inner = self.lock();
        let exists = Reader::open()
            .and_then(|mut reader| reader.table(&self.table))
            .map_err(|source| BackendError::Io { step: "read the table".into(), source })?;
        if exists.is_some() {
            inner.apply(&Batch::delete_table(&self.table), self.flags)?;
        }
        drop(inner);
        if let Some(holder) = &self.holder {
            holder.end();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves a socket whose next answers are told apart by their numbers.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sequence numbers must not start where those of the process before did, which used the same socket.
fn first_sequence_number() -> u32 {
    std::process::id().wrapping_mul(0x9e37_79b9)
}

impl RuleBackend for NftBackend {
    fn read(&self) -> Result<Snapshot, BackendError> {
        let inner = self.lock();
        if inner.stale {
            return Ok(Snapshot::default());
        }
        Reader::open()
            .and_then(|mut reader| reader.snapshot(&self.table))
            .map_err(|source| BackendError::Io { step: format!("read table inet {}", self.table), source })
    }

    fn apply(&self, batch: &Batch) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        if batch.table != self.table {
            return Err(BackendError::Invalid {
                place: format!("table {}", batch.table),
                reason: format!("this backend owns {}", self.table),
            });
        }
        let mut inner = self.lock();
        if inner.stale && batch.ops.first() == Some(&Op::AddTable) {
            let mut replaced = batch.clone();
            replaced.ops.insert(0, Op::DelTable);
            inner.apply(&replaced, self.flags)?;
            inner.stale = false;
            return Ok(());
        }
        inner.apply(batch, self.flags)
    }

    fn degraded(&self) -> Vec<String> {
        let mut all = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.flags == 0 {
            let text = "nftables table without owner: the kernel lacks the flags owner and persist (6.9), so other programs can \
                        change or flush it; it is set again at once, and unprotected while no daemon runs";
            all.push(text.to_owned());
        } else if self.holder.is_none() {
            all.push("nftables table without holder: it loses its owner whenever the daemon ends".to_owned());
        } else if self.holder_pid().is_none() {
            all.push("the holder of the nftables socket is gone and could not be replaced".to_owned());
        }
        all
    }
}

impl Inner {
    /// Whether the kernel takes the flags: a table that is made and deleted in one batch leaves nothing.
    fn has_owner_flag(&mut self, table: &str) -> bool {
        let probe = Batch {
            table: format!("{:.200}-probe-{}", table, std::process::id()),
            ops: vec![Op::AddTable, Op::DelTable],
        };
        self.apply(&probe, OWNER | PERSIST).is_ok()
    }

    /// Makes sure that nobody else has the table; adopts one whose owner is gone.
    fn claim(&mut self, table: &str, flags: u32) -> Result<(), BackendError> {
        let read = Reader::open()
            .and_then(|mut reader| reader.table(table))
            .map_err(|source| BackendError::Io { step: "list tables".into(), source })?;
        let Some(seen) = read else { return Ok(()) };
        match seen.owner {
            Some(owner) if owner == self.socket.port() => Ok(()),
            Some(owner) => Err(BackendError::Foreign { table: table.to_owned(), owner }),
            None if flags == 0 => Ok(()),
            None if seen.flags & PERSIST != 0 => {
                self.apply(&Batch { table: table.to_owned(), ops: vec![Op::AddTable] }, seen.flags | flags)
            }
            None => {
                self.stale = true;
                Ok(())
            }
        }
    }

    fn apply(&mut self, batch: &Batch, flags: u32) -> Result<(), BackendError> {
        let encoded = encode(batch, flags, &mut self.scratch, self.seq)?;
        self.seq = encoded.last.wrapping_add(2);
        let io = |source| BackendError::Io { step: format!("change table inet {}", batch.table), source };
        self.socket.send(&encoded.bytes).map_err(io)?;
        self.outcome(&encoded).map_err(io)?.map_or(Ok(()), Err)
    }

    /// Waits for the answer to the last operation. An error of an earlier one comes before it; one about the batch's
    /// first message ends it.
    fn outcome(&self, encoded: &Encoded) -> io::Result<Option<BackendError>> {
        let mut first = None;
        loop {
            for answer in self.socket.answers()? {
                let offset = answer.seq.wrapping_sub(encoded.first);
                if offset > encoded.last.wrapping_sub(encoded.first) {
                    continue;
                }
                if let (Some(source), None) = (answer.error, &first) {
                    first = Some(BackendError::Refused { operation: encoded.place(answer.seq).to_owned(), source });
                }
                if answer.seq == encoded.last || answer.seq == encoded.first {
                    return Ok(first);
                }
            }
        }
    }
}
