//! Reads the table back: names, shapes, elements, and each chain's digest from its rules' user data.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use cofferdam_netpolicy::diff::Elements;
use cofferdam_netpolicy::ir::{SeenChain, Set, SetKind, Snapshot};

use crate::encode::message;
use crate::ffi::{self, Header, Invalid, NativeSet, ReadChain, ReadElement, ReadRule, ReadSet, ReadTable, Scratch};
use crate::foreign::drops_forwarded;
use crate::mark::{Mark, chain_digest};
use crate::socket::Socket;
use crate::{expr, key};

const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// How often a list that changes while it is read is asked for again.
const TRIES: usize = 10;
/// Sets of fewer elements are read once only.
const SETTLED: usize = 64;

/// By chain, packets and bytes of each rule's counter, in order.
pub type Counters = BTreeMap<String, Vec<Option<(u64, u64)>>>;

/// Reads through a socket of its own: the owner's carries batches only.
pub struct Reader {
    socket: Socket,
    scratch: Scratch,
    seq: u32,
}

impl Reader {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        Ok(Reader { socket: Socket::open()?, scratch: Scratch::default(), seq: 0 })
    }

    /// The table of this name, if there is one.
    pub fn table(&mut self, name: &str) -> io::Result<Option<ReadTable>> {
        let tables = self.list(
            message::GET_TABLE,
            |scratch, header| Ok(ffi::table(scratch, header, name, None)?.to_vec()),
            ReadTable::parse,
        )?;
        Ok(tables.into_iter().find(|table| table.name == name))
    }

    /// Everything in the table.
    pub fn snapshot(&mut self, table: &str) -> io::Result<Snapshot> {
        if self.table(table)?.is_none() {
            return Ok(Snapshot::default());
        }
        Ok(Snapshot { table: Some(table.to_owned()), chains: self.chains(table)?, sets: self.sets(table)? })
    }

    /// What to tell of other tables' chains that drop what is forwarded, in all families.
    pub fn dropping(&mut self, ours: &str) -> io::Result<Vec<String>> {
        // nfnetlink's header alone: without a family all are listed.
        let request = |_: &mut Scratch, header: Header| {
            let mut bytes = 20u32.to_ne_bytes().to_vec();
            bytes.extend([header.command as u8, libc::NFNL_SUBSYS_NFTABLES as u8]);
            bytes.extend((header.flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
            bytes.extend(header.seq.to_ne_bytes());
            bytes.extend([0; 8]);
            Ok(bytes)
        };
        let parse = |_: &mut Scratch, message: &[u8]| drops_forwarded(message.get(16..)?, ours);
        self.list(message::GET_CHAIN, request, parse)
    }

    /// What the counters of each chain's rules say, in order.
    pub fn counters(&mut self, table: &str) -> io::Result<Counters> {
        let mut counters = Counters::new();
        for rule in self.rules(table)? {
            counters.entry(rule.chain).or_default().push(rule.counter);
        }
        Ok(counters)
    }

    fn rules(&mut self, table: &str) -> io::Result<Vec<ReadRule>> {
        self.list(
            message::GET_RULE,
            |scratch, header| Ok(ffi::rule_list(scratch, header, table, None)?.to_vec()),
            ReadRule::parse,
        )
    }

    fn chains(&mut self, table: &str) -> io::Result<BTreeMap<String, SeenChain>> {
        let mut marks: BTreeMap<String, Vec<Option<Mark>>> = BTreeMap::new();
        for rule in self.rules(table)? {
            marks.entry(rule.chain).or_default().push(Mark::parse(&rule.user_data));
        }
        let request = |scratch: &mut Scratch, header: Header| {
            let handle = ffi::table_handle(table)?;
            // A chain without a name is not possible in the library; the kernel ignores it when it lists all.
            let any = ffi::chain(&handle, "all", None)?;
            Ok(scratch.message(header, &any).to_vec())
        };
        let chains = self.list(message::GET_CHAIN, request, ReadChain::parse)?;
        let own = chains.into_iter().filter(|chain| chain.table == table);
        Ok(own
            .map(|chain| {
                (chain.name.clone(), SeenChain { base: chain.base, digest: chain_digest(marks.get(&chain.name)) })
            })
            .collect())
    }

    fn sets(&mut self, table: &str) -> io::Result<BTreeMap<String, Arc<Set>>> {
        let request = |scratch: &mut Scratch, header: Header| {
            // Without a name the kernel lists all sets of the table; the library wants one and ignores the rest.
            let native = NativeSet::new(table, "all")?;
            Ok(native.message(scratch, header).to_vec())
        };
        let mut sets = BTreeMap::new();
        for seen in self.list(message::GET_SET, request, ReadSet::parse)? {
            let Some(types) = key::types_of(seen.key_type) else {
                // Not ours: an empty shape differs from any that is wanted, so it is deleted or the table made anew.
                sets.insert(
                    seen.name,
                    Arc::new(Set {
                        key: Vec::new(),
                        intervals: false,
                        kind: SetKind::Plain,
                        elements: Elements::new(),
                    }),
                );
                continue;
            };
            let kind = if seen.flags & key::MAP != 0 { SetKind::Verdicts } else { SetKind::Plain };
            let mut set =
                Set { key: types, intervals: seen.flags & key::INTERVAL != 0, kind, elements: Elements::new() };
            let elements = self.elements(table, &seen.name)?;
            set.elements = assemble(&set, elements);
            sets.insert(seen.name, Arc::new(set));
        }
        Ok(sets)
    }

    fn elements(&mut self, table: &str, set: &str) -> io::Result<Vec<ReadElement>> {
        let request =
            |scratch: &mut Scratch, header: Header| Ok(NativeSet::new(table, set)?.message(scratch, header).to_vec());
        let mut last: Option<Vec<ReadElement>> = None;
        for _ in 0..TRIES {
            let mut elements: Vec<ReadElement> =
                self.list(message::GET_SET_ELEM, request, ReadElement::parse_all)?.into_iter().flatten().collect();
            elements.sort_unstable_by(|a, b| (&a.key, a.flags).cmp(&(&b.key, b.flags)));
            // While the kernel resizes a hash table, which it does after the change, a walk skips and repeats elements
            // and says nothing.
            if elements.len() < SETTLED || last.as_ref() == Some(&elements) {
                return Ok(elements);
            }
            if last.replace(elements).is_some() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        Err(io::Error::other(format!("set {set} keeps changing while it is read")))
    }

    fn list<T>(
        &mut self,
        command: u16,
        request: impl Fn(&mut Scratch, Header) -> Result<Vec<u8>, Invalid>,
        parse: impl Fn(&mut Scratch, &[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..TRIES {
            self.seq += 1;
            let request =
                request(&mut self.scratch, Header { command, flags: DUMP, seq: self.seq }).map_err(io::Error::other)?;
            let mut all = Vec::new();
            let scratch = &mut self.scratch;
            if self.socket.dump(&request, |message| all.extend(parse(scratch, message)))? {
                return Ok(all);
            }
        }
        Err(io::Error::other("the rules keep changing while they are read"))
    }
}

/// Elements as the IR has them. What cannot be read is left out, so that the diff writes it again.
fn assemble(set: &Set, read: Vec<ReadElement>) -> Elements {
    let verdict =
        |element: &ReadElement| element.verdict.clone().and_then(|(code, chain)| expr::verdict_of(code, chain));
    if set.intervals && set.key.len() == 1 {
        return join(set, read);
    }
    read.iter()
        .filter_map(|element| {
            let last = element.key_end.as_ref().unwrap_or(&element.key);
            Some((key::parse(&set.key, &element.key, last)?, verdict(element)))
        })
        .collect()
}

/// Plain intervals come as beginnings and ends: each beginning lasts until the next end.
fn join(set: &Set, mut read: Vec<ReadElement>) -> Elements {
    let is_end = |element: &ReadElement| element.flags & key::INTERVAL_END != 0;
    // An end at the same key as a beginning belongs to the interval before.
    read.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| is_end(b).cmp(&is_end(a))));
    let mut elements = Elements::new();
    for (index, begin) in read.iter().enumerate().filter(|(_, element)| !is_end(element)) {
        let last = match read.get(index + 1) {
            Some(next) => key::predecessor(&next.key),
            None => vec![0xff; begin.key.len()],
        };
        if let Some(element) = key::parse(&set.key, &begin.key, &last) {
            let verdict = begin.verdict.clone().and_then(|(code, chain)| expr::verdict_of(code, chain));
            elements.insert(element, verdict);
        }
    }
    elements
}
