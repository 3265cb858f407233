//! Messages about tables, chains and the rules of a chain as a whole.

use cofferdam_netpolicy::ir::{Base, ChainKind, ChainPolicy, Hook};
use nftnl_sys as sys;

use super::library::{FAMILY_INET, Header, Invalid, Scratch, done, name, owned};

owned!(
    /// A table that is built or parsed.
    Table, nftnl_table, nftnl_table_alloc, nftnl_table_free
);
owned!(
    /// A chain that is parsed.
    Chain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free
);
owned!(
    /// A rule that is parsed, or names those of a chain or table.
    Rule, nftnl_rule, nftnl_rule_alloc, nftnl_rule_free
);

/// A message about a table. The crate `nftnl` cannot set flags of tables.
pub fn table<'a>(
    scratch: &'a mut Scratch,
    header: Header,
    table: &str,
    flags: Option<u32>,
) -> Result<&'a [u8], Invalid> {
    let object = Table::new()?;
    let table = name(table)?;
    // SAFETY: the object is alive, each attribute gets a value of its type, strings are copied, and one name is far
    // below the buffer's size.
    unsafe {
        done(sys::nftnl_table_set_str(object.ptr(), sys::NFTNL_TABLE_NAME as u16, table.as_ptr()))?;
        sys::nftnl_table_set_u32(object.ptr(), sys::NFTNL_TABLE_FAMILY as u16, u32::from(FAMILY_INET));
        if let Some(flags) = flags {
            sys::nftnl_table_set_u32(object.ptr(), sys::NFTNL_TABLE_FLAGS as u16, flags);
        }
        sys::nftnl_table_nlmsg_build_payload(scratch.begin(header), object.ptr());
    }
    Ok(scratch.finish())
}

/// A table of this name, for objects that belong to it.
///
/// # Errors
/// The name is not valid.
pub fn table_handle(table: &str) -> Result<nftnl::Table, Invalid> {
    Ok(nftnl::Table::new(name(table)?, nftnl::ProtoFamily::Inet))
}

/// A chain; with `base` it is one at a hook.
///
/// # Errors
/// The name is not valid.
pub fn chain<'a>(table: &'a nftnl::Table, chain: &str, base: Option<&Base>) -> Result<nftnl::Chain<'a>, Invalid> {
    let mut object = nftnl::Chain::new(name(chain)?, table);
    if let Some(base) = base {
        object.set_type(match base.kind {
            ChainKind::Filter => nftnl::ChainType::Filter,
            ChainKind::Nat => nftnl::ChainType::Nat,
        });
        object.set_hook(native_hook(base.hook), base.priority);
        object.set_policy(match base.policy {
            ChainPolicy::Accept => nftnl::Policy::Accept,
            ChainPolicy::Drop => nftnl::Policy::Drop,
        });
    }
    Ok(object)
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
    // SAFETY: the object is alive, each attribute gets a value of its type, strings are copied, and two names are far
    // below the buffer's size.
    unsafe {
        done(sys::nftnl_rule_set_str(object.ptr(), sys::NFTNL_RULE_TABLE as u16, table.as_ptr()))?;
        sys::nftnl_rule_set_u32(object.ptr(), sys::NFTNL_RULE_FAMILY as u16, u32::from(FAMILY_INET));
        if let Some(chain) = chain {
            let chain = name(chain)?;
            done(sys::nftnl_rule_set_str(object.ptr(), sys::NFTNL_RULE_CHAIN as u16, chain.as_ptr()))?;
        }
        sys::nftnl_rule_nlmsg_build_payload(scratch.begin(header), object.ptr());
    }
    Ok(scratch.finish())
}

fn native_hook(hook: Hook) -> nftnl::Hook {
    match hook {
        Hook::Prerouting => nftnl::Hook::PreRouting,
        Hook::Input => nftnl::Hook::In,
        Hook::Forward => nftnl::Hook::Forward,
        Hook::Output => nftnl::Hook::Out,
        Hook::Postrouting => nftnl::Hook::PostRouting,
    }
}

/// The hook of this number (NF_INET_*).
pub(super) fn hook_of(number: u32) -> Option<Hook> {
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting].get(number as usize).copied()
}
