//! Messages about tables, chains and the rules of a chain as a whole.

use cofferdam_netpolicy::ir::{Base, ChainKind, ChainPolicy, Hook};
use nftnl_sys as sys;

use super::{FAMILY_INET, Header, Invalid, Scratch, name, owned};

owned!(
    /// A table.
    Table, nftnl_table, nftnl_table_alloc, nftnl_table_free
);
owned!(
    /// A chain.
    Chain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free
);
owned!(
    /// A rule.
    Rule, nftnl_rule, nftnl_rule_alloc, nftnl_rule_free
);

/// A message about a table.
pub fn table<'a>(
    scratch: &'a mut Scratch,
    header: Header,
    table: &str,
    flags: Option<u32>,
) -> Result<&'a [u8], Invalid> {
    let object = Table::new()?;
    let table = name(table)?;
    // SAFETY: the object is alive, each attribute gets a value of its type, strings are copied, and one name is far below the buffer's size.
    unsafe {
        super::done(sys::nftnl_table_set_str(object.ptr(), sys::NFTNL_TABLE_NAME as u16, table.as_ptr()))?;
        sys::nftnl_table_set_u32(object.ptr(), sys::NFTNL_TABLE_FAMILY as u16, u32::from(FAMILY_INET));
        if let Some(flags) = flags {
            sys::nftnl_table_set_u32(object.ptr(), sys::NFTNL_TABLE_FLAGS as u16, flags);
        }
        sys::nftnl_table_nlmsg_build_payload(scratch.begin(header), object.ptr());
    }
    Ok(scratch.finish())
}

/// A message about a chain; with `base` it becomes one at a hook.
pub fn chain<'a>(
    scratch: &'a mut Scratch,
    header: Header,
    table: &str,
    chain: &str,
    base: Option<&Base>,
) -> Result<&'a [u8], Invalid> {
    let object = Chain::new()?;
    let (table, chain) = (name(table)?, name(chain)?);
    // SAFETY: the object is alive, each attribute gets a value of its type, strings are copied, and two names are far below the buffer's size.
    unsafe {
        super::done(sys::nftnl_chain_set_str(object.ptr(), sys::NFTNL_CHAIN_TABLE as u16, table.as_ptr()))?;
        super::done(sys::nftnl_chain_set_str(object.ptr(), sys::NFTNL_CHAIN_NAME as u16, chain.as_ptr()))?;
        sys::nftnl_chain_set_u32(object.ptr(), sys::NFTNL_CHAIN_FAMILY as u16, u32::from(FAMILY_INET));
        if let Some(base) = base {
            let kind = match base.kind {
                ChainKind::Filter => c"filter",
                ChainKind::Nat => c"nat",
            };
            super::done(sys::nftnl_chain_set_str(object.ptr(), sys::NFTNL_CHAIN_TYPE as u16, kind.as_ptr()))?;
            sys::nftnl_chain_set_u32(object.ptr(), sys::NFTNL_CHAIN_HOOKNUM as u16, hook_number(base.hook));
            sys::nftnl_chain_set_s32(object.ptr(), sys::NFTNL_CHAIN_PRIO as u16, base.priority);
            sys::nftnl_chain_set_u32(
                object.ptr(),
                sys::NFTNL_CHAIN_POLICY as u16,
                u32::from(base.policy == ChainPolicy::Accept),
            );
        }
        sys::nftnl_chain_nlmsg_build_payload(scratch.begin(header), object.ptr());
    }
    Ok(scratch.finish())
}

/// A message about all rules of a chain (flush), or of a table (dump).
pub fn rule_list<'a>(
    scratch: &'a mut Scratch,
    header: Header,
    table: &str,
    chain: Option<&str>,
) -> Result<&'a [u8], Invalid> {
    let object = Rule::new()?;
    let table = name(table)?;
    // SAFETY: the object is alive, each attribute gets a value of its type, strings are copied, and two names are far below the buffer's size.
    unsafe {
        super::done(sys::nftnl_rule_set_str(object.ptr(), sys::NFTNL_RULE_TABLE as u16, table.as_ptr()))?;
        sys::nftnl_rule_set_u32(object.ptr(), sys::NFTNL_RULE_FAMILY as u16, u32::from(FAMILY_INET));
        if let Some(chain) = chain {
            let chain = name(chain)?;
            super::done(sys::nftnl_rule_set_str(object.ptr(), sys::NFTNL_RULE_CHAIN as u16, chain.as_ptr()))?;
        }
        sys::nftnl_rule_nlmsg_build_payload(scratch.begin(header), object.ptr());
    }
    Ok(scratch.finish())
}

/// NF_INET_*.
fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// The hook of a number.
pub(super) fn hook_of(number: u32) -> Option<Hook> {
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting].get(number as usize).copied()
}
