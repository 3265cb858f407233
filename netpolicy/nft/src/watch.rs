//! Hears what other programs change in nftables: our table, where the kernel cannot protect it, and chains that drop
//! what is forwarded.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use cofferdam_netpolicy::backend::{BackendError, RuleBackend as _};
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::ir::{
    Base, Chain, ChainKind, ChainPolicy, CmpOp, Expr, Field, Hook, Rule, Ruleset, Snapshot, Value,
};
use rustix::event::{PollFd, PollFlags, poll};

use crate::backend::NftBackend;
use crate::foreign;
use crate::read::Reader;
use crate::socket::{News, Socket};

/// Messages about tables and chains (nf_tables.h); their type is below the subsystem's number.
const TABLES_AND_CHAINS: std::ops::RangeInclusive<u8> = 0..=5;
/// nfgenmsg's family of a table inet.
const INET: u8 = 1;
/// Filter priority.
const FILTER: i32 = 0;

/// Hears as long as it lives.
pub struct Watch {
    _alive: UnixStream,
}

/// Starts a thread that calls `harmed` after somebody else changed our table. If the table is gone, everything from and
/// to interfaces whose names begin with `prefix` drops until `harmed` has brought it back.
///
/// # Errors
/// The kernel does not let us listen.
pub fn watch(
    backend: Arc<NftBackend>,
    prefix: String,
    harmed: impl Fn() + Send + 'static,
) -> Result<Watch, BackendError> {
    let io = |source| BackendError::Io { step: "listen to changes of nftables".into(), source };
    let news = Socket::listen().map_err(io)?;
    let (ours, theirs) = UnixStream::pair().map_err(io)?;
    look_for_others(&backend);
    let run = move || follow(&news, &theirs, &backend, &prefix, &harmed);
    std::thread::Builder::new().name("nft-watch".into()).spawn(run).map_err(io)?;
    Ok(Watch { _alive: ours })
}

/// What a bunch of messages is about.
#[derive(Debug, Default, PartialEq)]
struct About {
    ours: bool,
    others: bool,
}

fn follow(news: &Socket, alive: &UnixStream, backend: &NftBackend, prefix: &str, harmed: &impl Fn()) {
    while wait(news, alive) {
        let about = match news.news(|message| about(message, backend.table(), backend.port())) {
            Ok(all) => all
                .into_iter()
                .fold(About::default(), |a, b| About { ours: a.ours || b.ours, others: a.others || b.others }),
            // More than could be heard of: anything may have happened.
            Err(_) => About { ours: true, others: true },
        };
        if about.ours {
            tracing::warn!(table = backend.table(), "another program changed our nftables table; setting it again");
            if let Err(error) = close(backend, prefix) {
                tracing::error!(%error, "pods could not be closed while the table is gone");
            }
            harmed();
        }
        if about.others {
            look_for_others(backend);
        }
    }
}

fn wait(news: &Socket, alive: &UnixStream) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(news.as_fd(), PollFlags::IN), PollFd::new(alive, PollFlags::IN)];
    loop {
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) => return fds[1].revents().is_empty(),
        }
    }
}

fn about(message: &News<'_>, table: &str, port: u32) -> About {
    if message.port == port {
        return About::default();
    }
    let named = foreign::table_of(message.body);
    let ours = named.is_some_and(|(family, name)| family == INET && name == table);
    About { ours, others: !ours && TABLES_AND_CHAINS.contains(&message.kind) }
}

/// If our table is gone, a small one in its place that lets no pod speak: it is there at once, the whole one must be
/// compiled.
fn close(backend: &NftBackend, prefix: &str) -> Result<(), BackendError> {
    let io = |source| BackendError::Io { step: "read the table".into(), source };
    if Reader::open().and_then(|mut reader| reader.table(backend.table())).map_err(io)?.is_some() {
        return Ok(());
    }
    let mut closed = Ruleset::new(backend.table());
    let drop = |field| -> Rule {
        vec![Expr::Cmp(field, CmpOp::Eq, Value::IfnamePrefix(prefix.to_owned())), Expr::Counter, Expr::drop()]
    };
    let base = |hook| Base { kind: ChainKind::Filter, hook, priority: FILTER, policy: ChainPolicy::Accept };
    // Names that no whole table has: it takes their place in one step.
    let (forward, input) = (vec![drop(Field::Iifname), drop(Field::Oifname)], vec![drop(Field::Iifname)]);
    closed.chain("closed-forward", Chain::base(base(Hook::Forward), forward));
    closed.chain("closed-input", Chain::base(base(Hook::Input), input));
    backend.apply(&diff(&Snapshot::default(), &closed))
}

fn look_for_others(backend: &NftBackend) {
    match Reader::open().and_then(|mut reader| reader.dropping(backend.table())) {
        Ok(found) => backend.set_others(found),
        Err(error) => tracing::warn!(%error, "other programs' chains could not be read"),
    }
}
