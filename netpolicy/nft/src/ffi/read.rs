//! The kernel's messages as values.

use cofferdam_netpolicy::ir::{Base, ChainKind, ChainPolicy};
use nftnl_sys as sys;

use super::library::{Scratch, text};
use super::object::{Chain, Rule, Table, hook_of};
use super::set::RawSet;

/// A table of the kernel.
pub struct ReadTable {
    pub name: String,
    pub flags: u32,
    /// Netlink port of the owner.
    pub owner: Option<u32>,
}

impl ReadTable {
    /// Parses one message.
    pub fn parse(scratch: &mut Scratch, message: &[u8]) -> Option<Self> {
        let object = Table::new().ok()?;
        let message = scratch.copy(message)?;
        // SAFETY: an aligned message of true length and a live object; strings are copied before the object goes.
        unsafe {
            if sys::nftnl_table_nlmsg_parse(message, object.ptr()) < 0 {
                return None;
            }
            let owned = sys::nftnl_table_is_set(object.ptr(), sys::NFTNL_TABLE_OWNER as u16);
            Some(ReadTable {
                name: text(sys::nftnl_table_get_str(object.ptr(), sys::NFTNL_TABLE_NAME as u16)),
                flags: sys::nftnl_table_get_u32(object.ptr(), sys::NFTNL_TABLE_FLAGS as u16),
                owner: owned.then(|| sys::nftnl_table_get_u32(object.ptr(), sys::NFTNL_TABLE_OWNER as u16)),
            })
        }
    }
}

/// A chain of the kernel.
pub struct ReadChain {
    pub table: String,
    pub name: String,
    pub base: Option<Base>,
}

impl ReadChain {
    /// Parses one message.
    pub fn parse(scratch: &mut Scratch, message: &[u8]) -> Option<Self> {
        let object = Chain::new().ok()?;
        let message = scratch.copy(message)?;
        let raw = object.ptr();
        // SAFETY: an aligned message of true length and a live object; strings are copied before the object goes.
        unsafe {
            if sys::nftnl_chain_nlmsg_parse(message, raw) < 0 {
                return None;
            }
            let base = sys::nftnl_chain_is_set(raw, sys::NFTNL_CHAIN_HOOKNUM as u16).then(|| {
                let kind = text(sys::nftnl_chain_get_str(raw, sys::NFTNL_CHAIN_TYPE as u16));
                let accept = sys::nftnl_chain_get_u32(raw, sys::NFTNL_CHAIN_POLICY as u16) == 1;
                Some(Base {
                    kind: if kind == "nat" { ChainKind::Nat } else { ChainKind::Filter },
                    hook: hook_of(sys::nftnl_chain_get_u32(raw, sys::NFTNL_CHAIN_HOOKNUM as u16))?,
                    priority: sys::nftnl_chain_get_s32(raw, sys::NFTNL_CHAIN_PRIO as u16),
                    policy: if accept { ChainPolicy::Accept } else { ChainPolicy::Drop },
                })
            });
            Some(ReadChain {
                table: text(sys::nftnl_chain_get_str(raw, sys::NFTNL_CHAIN_TABLE as u16)),
                name: text(sys::nftnl_chain_get_str(raw, sys::NFTNL_CHAIN_NAME as u16)),
                base: base.flatten(),
            })
        }
    }
}

/// A rule: its chain, what was written into its user data, and what its first counter has counted.
pub struct ReadRule {
    pub chain: String,
    pub user_data: Vec<u8>,
    /// Packets and bytes.
    pub counter: Option<(u64, u64)>,
}

impl ReadRule {
    /// Parses one message.
    pub fn parse(scratch: &mut Scratch, message: &[u8]) -> Option<Self> {
        let object = Rule::new().ok()?;
        let message = scratch.copy(message)?;
        // SAFETY: an aligned message of true length and a live object; all is copied before the object goes.
        unsafe {
            if sys::nftnl_rule_nlmsg_parse(message, object.ptr()) < 0 {
                return None;
            }
            let mut len = 0;
            let data: *const u8 =
                sys::nftnl_rule_get_data(object.ptr(), sys::NFTNL_RULE_USERDATA as u16, &mut len).cast();
            let user_data =
                if data.is_null() { Vec::new() } else { std::slice::from_raw_parts(data, len as usize).to_vec() };
            Some(ReadRule {
                chain: text(sys::nftnl_rule_get_str(object.ptr(), sys::NFTNL_RULE_CHAIN as u16)),
                user_data,
                counter: counter(&object),
            })
        }
    }
}

fn counter(rule: &Rule) -> Option<(u64, u64)> {
    // SAFETY: a live rule; the iterator goes before it, and expressions belong to the rule. Names are compared before
    // they go.
    unsafe {
        let iterator = sys::nftnl_expr_iter_create(rule.ptr());
        if iterator.is_null() {
            return None;
        }
        let mut found = None;
        loop {
            let expression = sys::nftnl_expr_iter_next(iterator);
            if expression.is_null() {
                break;
            }
            if text(sys::nftnl_expr_get_str(expression, sys::NFTNL_EXPR_NAME as u16)) == "counter" {
                found = Some((
                    sys::nftnl_expr_get_u64(expression, sys::NFTNL_EXPR_CTR_PACKETS as u16),
                    sys::nftnl_expr_get_u64(expression, sys::NFTNL_EXPR_CTR_BYTES as u16),
                ));
                break;
            }
        }
        sys::nftnl_expr_iter_destroy(iterator);
        found
    }
}

/// A set's name and shape.
pub struct ReadSet {
    pub name: String,
    pub flags: u32,
    pub key_type: u32,
}

impl ReadSet {
    /// Parses one message.
    pub fn parse(scratch: &mut Scratch, message: &[u8]) -> Option<Self> {
        let object = RawSet::new().ok()?;
        let message = scratch.copy(message)?;
        // SAFETY: an aligned message of true length and a live object; strings are copied before the object goes.
        unsafe {
            if sys::nftnl_set_nlmsg_parse(message, object.ptr()) < 0 {
                return None;
            }
            Some(ReadSet {
                name: text(sys::nftnl_set_get_str(object.ptr(), sys::NFTNL_SET_NAME as u16)),
                flags: sys::nftnl_set_get_u32(object.ptr(), sys::NFTNL_SET_FLAGS as u16),
                key_type: sys::nftnl_set_get_u32(object.ptr(), sys::NFTNL_SET_KEY_TYPE as u16),
            })
        }
    }
}

/// An element of a set.
#[derive(PartialEq, Eq)]
pub struct ReadElement {
    pub flags: u32,
    pub key: Vec<u8>,
    pub key_end: Option<Vec<u8>>,
    pub verdict: Option<(i32, String)>,
}

impl ReadElement {
    /// Parses the elements of one message.
    pub fn parse_all(scratch: &mut Scratch, message: &[u8]) -> Option<Vec<Self>> {
        let object = RawSet::new().ok()?;
        let message = scratch.copy(message)?;
        let mut elements = Vec::new();
        // SAFETY: an aligned message of true length and a live object; the iterator ends before the object, elements
        // are copied.
        unsafe {
            if sys::nftnl_set_elems_nlmsg_parse(message, object.ptr()) < 0 {
                return None;
            }
            let iterator = sys::nftnl_set_elems_iter_create(object.ptr());
            if iterator.is_null() {
                return None;
            }
            loop {
                let element = sys::nftnl_set_elems_iter_next(iterator);
                if element.is_null() {
                    break;
                }
                elements.push(Self::copy(element));
            }
            sys::nftnl_set_elems_iter_destroy(iterator);
        }
        Some(elements)
    }

    /// # Safety
    /// `element` is alive.
    unsafe fn copy(element: *mut sys::nftnl_set_elem) -> Self {
        // SAFETY: alive (the caller's promise); attributes are read as the type they have, only when set.
        unsafe {
            let has = |attribute: u32| sys::nftnl_set_elem_is_set(element, attribute as u16);
            let number = |attribute: u32| {
                if has(attribute) { sys::nftnl_set_elem_get_u32(element, attribute as u16) } else { 0 }
            };
            let bytes = |attribute: u32| {
                let mut len = 0;
                let data: *const u8 = sys::nftnl_set_elem_get(element, attribute as u16, &mut len).cast();
                if data.is_null() { Vec::new() } else { std::slice::from_raw_parts(data, len as usize).to_vec() }
            };
            let chain = || {
                if has(sys::NFTNL_SET_ELEM_CHAIN) {
                    text(sys::nftnl_set_elem_get_str(element, sys::NFTNL_SET_ELEM_CHAIN as u16))
                } else {
                    String::new()
                }
            };
            ReadElement {
                flags: number(sys::NFTNL_SET_ELEM_FLAGS),
                key: bytes(sys::NFTNL_SET_ELEM_KEY),
                key_end: has(sys::NFTNL_SET_ELEM_KEY_END).then(|| bytes(sys::NFTNL_SET_ELEM_KEY_END)),
                verdict: has(sys::NFTNL_SET_ELEM_VERDICT)
                    .then(|| (number(sys::NFTNL_SET_ELEM_VERDICT) as i32, chain())),
            }
        }
    }
}
