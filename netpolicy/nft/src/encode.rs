//! A batch as netlink messages.

use cofferdam_netpolicy::backend::BackendError;
use cofferdam_netpolicy::diff::{Batch, Elements, Op};
use cofferdam_netpolicy::ir::{Base, Chain, KeyType, Set};

use crate::ffi::{self, Header, Invalid, NativeElement, NativeRule, NativeSet, Scratch, Shape};
use crate::{expr, key, mark};

/// NFT_MSG_*.
pub mod message {
    pub const NEW_TABLE: u16 = 0;
    pub const GET_TABLE: u16 = 1;
    pub const DEL_TABLE: u16 = 2;
    pub const NEW_CHAIN: u16 = 3;
    pub const GET_CHAIN: u16 = 4;
    pub const DEL_CHAIN: u16 = 5;
    pub const NEW_RULE: u16 = 6;
    pub const GET_RULE: u16 = 7;
    pub const DEL_RULE: u16 = 8;
    pub const NEW_SET: u16 = 9;
    pub const GET_SET: u16 = 10;
    pub const DEL_SET: u16 = 11;
    pub const NEW_SET_ELEM: u16 = 12;
    pub const GET_SET_ELEM: u16 = 13;
    pub const DEL_SET_ELEM: u16 = 14;
}

const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;

/// Encoded messages: all in one buffer, which goes to the kernel in one call.
pub struct Encoded {
    /// BATCH_BEGIN, the operations, BATCH_END.
    pub bytes: Vec<u8>,
    /// Sequence number of BATCH_BEGIN.
    pub first: u32,
    /// Sequence number of the last operation: it alone asks for an acknowledgement.
    pub last: u32,
    /// For each sequence number after `first`: what it does.
    places: Vec<String>,
}

impl Encoded {
    /// What the message of this number does.
    pub fn place(&self, seq: u32) -> &str {
        let index = seq.wrapping_sub(self.first).wrapping_sub(1) as usize;
        self.places.get(index).map_or("the batch", String::as_str)
    }
}

/// Encodes the operations. `table_flags` are those of a new table, `seq` is the first number to use.
pub fn encode(batch: &Batch, table_flags: u32, scratch: &mut Scratch, seq: u32) -> Result<Encoded, BackendError> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(scratch.batch_begin(seq));
    let mut writer = Writer {
        table: &batch.table,
        flags: table_flags,
        scratch,
        bytes,
        seq,
        places: Vec::new(),
        start: 0,
        place: String::new(),
    };
    for op in &batch.ops {
        writer.place = describe(op);
        writer.op(op).map_err(|e| BackendError::Invalid { place: writer.place.clone(), reason: e.to_string() })?;
    }
    let Writer { mut bytes, places, start, seq: last, scratch, .. } = writer;
    if !places.is_empty() {
        // The flags of the last message: nlmsg_flags is 6 bytes into its header.
        let flags = u16::from_ne_bytes([bytes[start + 6], bytes[start + 7]]) | libc::NLM_F_ACK as u16;
        bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
    }
    bytes.extend_from_slice(scratch.batch_end(last.wrapping_add(1)));
    Ok(Encoded { bytes, first: seq, last, places })
}

fn describe(op: &Op) -> String {
    match op {
        Op::AddTable => "add table".into(),
        Op::DelTable => "delete table".into(),
        Op::AddChain(name, _) => format!("add chain {name}"),
        Op::AddSet(name, _) => format!("add set {name}"),
        Op::AddElements(name, ..) => format!("add elements to {name}"),
        Op::DelElements(name, ..) => format!("delete elements from {name}"),
        Op::FlushChain(name) => format!("flush chain {name}"),
        Op::AddRules(name, _) => format!("add rules to {name}"),
        Op::DelChain(name) => format!("delete chain {name}"),
        Op::DelSet(name) => format!("delete set {name}"),
    }
}

struct Writer<'a> {
    table: &'a str,
    flags: u32,
    scratch: &'a mut Scratch,
    bytes: Vec<u8>,
    seq: u32,
    places: Vec<String>,
    start: usize,
    place: String,
}

impl Writer<'_> {
    fn header(&mut self, command: u16, flags: u16) -> Header {
        self.seq = self.seq.wrapping_add(1);
        self.places.push(self.place.clone());
        self.start = self.bytes.len();
        Header { command, flags, seq: self.seq }
    }

    fn op(&mut self, op: &Op) -> Result<(), Invalid> {
        match op {
            Op::AddTable => self.table_op(message::NEW_TABLE, CREATE, Some(self.flags)),
            Op::DelTable => self.table_op(message::DEL_TABLE, 0, None),
            Op::AddChain(name, base) => self.chain(message::NEW_CHAIN, CREATE, name, base.as_ref()),
            Op::DelChain(name) => self.chain(message::DEL_CHAIN, 0, name, None),
            Op::FlushChain(name) => {
                let header = self.header(message::DEL_RULE, 0);
                self.bytes.extend_from_slice(ffi::rule_list(self.scratch, header, self.table, Some(name))?);
                Ok(())
            }
            Op::AddRules(name, chain) => self.rules(name, chain),
            Op::AddSet(name, set) => self.add_set(name, set),
            Op::DelSet(name) => {
                let set = NativeSet::new(self.table, name)?;
                let header = self.header(message::DEL_SET, 0);
                self.bytes.extend_from_slice(set.message(self.scratch, header));
                Ok(())
            }
            Op::AddElements(name, set, elements) => self.elements(message::NEW_SET_ELEM, CREATE, name, set, elements),
            Op::DelElements(name, set, elements) => self.elements(message::DEL_SET_ELEM, 0, name, set, elements),
        }
    }

    fn table_op(&mut self, command: u16, flags: u16, table_flags: Option<u32>) -> Result<(), Invalid> {
        let header = self.header(command, flags);
        self.bytes.extend_from_slice(ffi::table(self.scratch, header, self.table, table_flags)?);
        Ok(())
    }

    fn chain(&mut self, command: u16, flags: u16, name: &str, base: Option<&Base>) -> Result<(), Invalid> {
        let table = ffi::table_handle(self.table)?;
        let chain = ffi::chain(&table, name, base)?;
        let header = self.header(command, flags);
        self.bytes.extend_from_slice(self.scratch.message(header, &chain));
        Ok(())
    }

    fn rules(&mut self, name: &str, chain: &Chain) -> Result<(), Invalid> {
        let table = ffi::table_handle(self.table)?;
        let native = ffi::chain(&table, name, None)?;
        for (index, exprs) in chain.rules().iter().enumerate() {
            let mut rule = NativeRule::new(&native, mark::comment(chain, index))?;
            for one in exprs {
                expr::append(&mut rule, one)?;
            }
            let header = self.header(message::NEW_RULE, CREATE | APPEND);
            self.bytes.extend_from_slice(rule.message(self.scratch, header));
        }
        Ok(())
    }

    fn add_set(&mut self, name: &str, set: &Set) -> Result<(), Invalid> {
        key::check(set)?;
        let concat = key::flags(set) & key::CONCAT != 0;
        let fields: Vec<u8> =
            if concat { set.key.iter().map(|kind| key::width(*kind) as u8).collect() } else { Vec::new() };
        let header = self.header(message::NEW_SET, CREATE);
        let shape = Shape {
            flags: key::flags(set),
            key_type: key::type_number(&set.key),
            key_len: key::key_len(&set.key) as u32,
            verdicts: key::flags(set) & key::MAP != 0,
            fields: &fields,
            host_order: matches!(set.key[..], [KeyType::Ifname | KeyType::Mark]),
            id: header.seq,
        };
        let native = NativeSet::new(self.table, name)?.shape(&shape)?;
        self.bytes.extend_from_slice(native.message(self.scratch, header));
        Ok(())
    }

    fn elements(
        &mut self,
        command: u16,
        flags: u16,
        name: &str,
        set: &Set,
        elements: &Elements,
    ) -> Result<(), Invalid> {
        key::check(set)?;
        let mut group = NativeSet::new(self.table, name)?;
        for (element, verdict) in elements {
            let (first, last) = key::element(set, element)?;
            let verdict = verdict.as_ref().map(expr::verdict_code);
            let concat = key::flags(set) & key::CONCAT != 0;
            let mut add = |key: &[u8], flag: u32, verdict| -> Result<(), Invalid> {
                let native = NativeElement { flags: flag, key, key_end: concat.then_some(&last[..]), verdict };
                if !group.push(&native)? {
                    self.flush(command, flags, &group);
                    group = NativeSet::new(self.table, name)?;
                    if !group.push(&native)? {
                        return Err(Invalid::Data(key.len()));
                    }
                }
                Ok(())
            };
            add(&first, 0, verdict)?;
            // A set of plain intervals knows beginnings and ends (the first key after); there is none after the last
            // address of all.
            if set.intervals
                && !concat
                && let Some(end) = key::successor(&last)
            {
                add(&end, key::INTERVAL_END, None)?;
            }
        }
        if group.has_elements() {
            self.flush(command, flags, &group);
        }
        Ok(())
    }

    fn flush(&mut self, command: u16, flags: u16, group: &NativeSet) {
        let header = self.header(command, flags);
        self.bytes.extend_from_slice(group.elements_message(self.scratch, header));
    }
}
