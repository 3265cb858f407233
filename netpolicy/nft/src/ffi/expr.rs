//! Native expressions and rules.

use std::ffi::CStr;
use std::ptr::NonNull;

use nftnl_sys as sys;

use super::object::Rule;
use super::{FAMILY_INET, Header, Invalid, MAX_EXPRS, Scratch, done, name, reg_data};

/// One expression of the kernel's virtual machine.
pub struct NativeExpr(NonNull<sys::nftnl_expr>);

impl Drop for NativeExpr {
    fn drop(&mut self) {
        // SAFETY: allocated by `alloc` and owned by this value (a rule that takes it forgets it).
        unsafe { sys::nftnl_expr_free(self.0.as_ptr()) };
    }
}

impl NativeExpr {
    fn alloc(kind: &CStr) -> Result<Self, Invalid> {
        // SAFETY: a NUL-terminated name; null if unknown or without memory.
        NonNull::new(unsafe { sys::nftnl_expr_alloc(kind.as_ptr()) }).map(NativeExpr).ok_or(Invalid::Memory)
    }

    /// Private, since the attribute must be a number of the expression's kind.
    fn u32(self, attribute: u32, value: u32) -> Self {
        // SAFETY: the callers below name u32 attributes of this kind of expression.
        unsafe { sys::nftnl_expr_set_u32(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    fn text(self, attribute: u32, value: &str) -> Result<Self, Invalid> {
        let value = name(value)?;
        // SAFETY: the callers below name string attributes; the library copies.
        done(unsafe { sys::nftnl_expr_set_str(self.0.as_ptr(), attribute as u16, value.as_ptr()) })?;
        Ok(self)
    }

    fn data(self, attribute: u32, value: &[u8]) -> Result<Self, Invalid> {
        let (pointer, len) = reg_data(value)?;
        // SAFETY: the callers below name data attributes; at most 64 bytes (checked), copied.
        done(unsafe { sys::nftnl_expr_set(self.0.as_ptr(), attribute as u16, pointer, len) })?;
        Ok(self)
    }

    /// Loads packet metadata (NFT_META_*) into a register.
    pub fn meta_load(key: u32, register: u32) -> Result<Self, Invalid> {
        Ok(Self::alloc(c"meta")?.u32(sys::NFTNL_EXPR_META_KEY, key).u32(sys::NFTNL_EXPR_META_DREG, register))
    }

    /// Stores a register in packet metadata.
    pub fn meta_store(key: u32, register: u32) -> Result<Self, Invalid> {
        Ok(Self::alloc(c"meta")?.u32(sys::NFTNL_EXPR_META_KEY, key).u32(sys::NFTNL_EXPR_META_SREG, register))
    }

    /// Loads a property of the flow (NFT_CT_*) into a register.
    pub fn ct_load(key: u32, register: u32) -> Result<Self, Invalid> {
        Ok(Self::alloc(c"ct")?.u32(sys::NFTNL_EXPR_CT_KEY, key).u32(sys::NFTNL_EXPR_CT_DREG, register))
    }

    /// Stores a register in the flow.
    pub fn ct_store(key: u32, register: u32) -> Result<Self, Invalid> {
        Ok(Self::alloc(c"ct")?.u32(sys::NFTNL_EXPR_CT_KEY, key).u32(sys::NFTNL_EXPR_CT_SREG, register))
    }

    /// Loads bytes of the packet: base 1 is the network header, 2 the transport header.
    pub fn payload(base: u32, offset: u32, len: u32, register: u32) -> Result<Self, Invalid> {
        Ok(Self::alloc(c"payload")?
            .u32(sys::NFTNL_EXPR_PAYLOAD_BASE, base)
            .u32(sys::NFTNL_EXPR_PAYLOAD_OFFSET, offset)
            .u32(sys::NFTNL_EXPR_PAYLOAD_LEN, len)
            .u32(sys::NFTNL_EXPR_PAYLOAD_DREG, register))
    }

    /// Loads the type of an address (`flags`: 1 source, 2 destination).
    pub fn fib_type(flags: u32, register: u32) -> Result<Self, Invalid> {
        const RESULT_ADDRTYPE: u32 = 3;
        Ok(Self::alloc(c"fib")?
            .u32(sys::NFTNL_EXPR_FIB_RESULT, RESULT_ADDRTYPE)
            .u32(sys::NFTNL_EXPR_FIB_FLAGS, flags)
            .u32(sys::NFTNL_EXPR_FIB_DREG, register))
    }

    /// Goes on if the register is (`op` 0) or is not (1) this.
    pub fn cmp(register: u32, op: u32, value: &[u8]) -> Result<Self, Invalid> {
        Self::alloc(c"cmp")?
            .u32(sys::NFTNL_EXPR_CMP_SREG, register)
            .u32(sys::NFTNL_EXPR_CMP_OP, op)
            .data(sys::NFTNL_EXPR_CMP_DATA, value)
    }

    /// Goes on if the register is inside (`op` 0) or outside (1).
    pub fn range(register: u32, op: u32, from: &[u8], to: &[u8]) -> Result<Self, Invalid> {
        Self::alloc(c"range")?
            .u32(sys::NFTNL_EXPR_RANGE_SREG, register)
            .u32(sys::NFTNL_EXPR_RANGE_OP, op)
            .data(sys::NFTNL_EXPR_RANGE_FROM_DATA, from)?
            .data(sys::NFTNL_EXPR_RANGE_TO_DATA, to)
    }

    /// register = (register & mask) ^ xor.
    pub fn bitwise(register: u32, mask: &[u8], xor: &[u8]) -> Result<Self, Invalid> {
        Self::alloc(c"bitwise")?
            .u32(sys::NFTNL_EXPR_BITWISE_SREG, register)
            .u32(sys::NFTNL_EXPR_BITWISE_DREG, register)
            .u32(sys::NFTNL_EXPR_BITWISE_LEN, mask.len() as u32)
            .data(sys::NFTNL_EXPR_BITWISE_MASK, mask)?
            .data(sys::NFTNL_EXPR_BITWISE_XOR, xor)
    }

    /// Goes on if the key from this register on is in the set (or is not).
    pub fn lookup(register: u32, set: &str, inverted: bool) -> Result<Self, Invalid> {
        let expr =
            Self::alloc(c"lookup")?.u32(sys::NFTNL_EXPR_LOOKUP_SREG, register).text(sys::NFTNL_EXPR_LOOKUP_SET, set)?;
        Ok(if inverted { expr.u32(sys::NFTNL_EXPR_LOOKUP_FLAGS, 1) } else { expr })
    }

    /// Takes the verdict of the element (register 0 is the verdict).
    pub fn verdict_map(register: u32, map: &str) -> Result<Self, Invalid> {
        Ok(Self::lookup(register, map, false)?.u32(sys::NFTNL_EXPR_LOOKUP_DREG, 0))
    }

    /// Puts a constant in a register.
    pub fn immediate(register: u32, value: &[u8]) -> Result<Self, Invalid> {
        Self::alloc(c"immediate")?.u32(sys::NFTNL_EXPR_IMM_DREG, register).data(sys::NFTNL_EXPR_IMM_DATA, value)
    }

    /// Ends the rule with a verdict (NF_*, NFT_*), to a chain where it takes one.
    pub fn verdict(code: i32, chain: Option<&str>) -> Result<Self, Invalid> {
        let expr =
            Self::alloc(c"immediate")?.u32(sys::NFTNL_EXPR_IMM_DREG, 0).u32(sys::NFTNL_EXPR_IMM_VERDICT, code as u32);
        match chain {
            Some(chain) => expr.text(sys::NFTNL_EXPR_IMM_CHAIN, chain),
            None => Ok(expr),
        }
    }

    /// Counts packets and bytes.
    pub fn counter() -> Result<Self, Invalid> {
        Self::alloc(c"counter")
    }

    /// Logs to an nflog group.
    pub fn nflog(group: u16, prefix: &str) -> Result<Self, Invalid> {
        let expr = Self::alloc(c"log")?;
        // SAFETY: a u16 attribute of `log`.
        unsafe { sys::nftnl_expr_set_u16(expr.0.as_ptr(), sys::NFTNL_EXPR_LOG_GROUP as u16, group) };
        if prefix.is_empty() { Ok(expr) } else { expr.text(sys::NFTNL_EXPR_LOG_PREFIX, prefix) }
    }

    /// Masquerades.
    pub fn masquerade() -> Result<Self, Invalid> {
        Self::alloc(c"masq")
    }

    /// Translates source (`kind` 0) or destination (1) to the address, and port, in these registers.
    pub fn nat(kind: u32, family: u32, address: u32, port: Option<u32>) -> Result<Self, Invalid> {
        let expr = Self::alloc(c"nat")?
            .u32(sys::NFTNL_EXPR_NAT_TYPE, kind)
            .u32(sys::NFTNL_EXPR_NAT_FAMILY, family)
            .u32(sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, address);
        Ok(match port {
            Some(port) => expr.u32(sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, port),
            None => expr,
        })
    }
}

/// A rule to append.
pub struct NativeRule {
    rule: Rule,
    exprs: usize,
}

impl NativeRule {
    /// An empty rule of this chain; `user_data` (at most 255 bytes) comes back when it is read.
    pub fn new(table: &str, chain: &str, user_data: &[u8]) -> Result<Self, Invalid> {
        let rule = Rule::new()?;
        let (table, chain) = (name(table)?, name(chain)?);
        if user_data.len() > 255 {
            return Err(Invalid::Data(user_data.len()));
        }
        // SAFETY: the object is alive, each attribute gets a value of its type, all is copied.
        unsafe {
            done(sys::nftnl_rule_set_str(rule.ptr(), sys::NFTNL_RULE_TABLE as u16, table.as_ptr()))?;
            done(sys::nftnl_rule_set_str(rule.ptr(), sys::NFTNL_RULE_CHAIN as u16, chain.as_ptr()))?;
            sys::nftnl_rule_set_u32(rule.ptr(), sys::NFTNL_RULE_FAMILY as u16, u32::from(FAMILY_INET));
            done(sys::nftnl_rule_set_data(
                rule.ptr(),
                sys::NFTNL_RULE_USERDATA as u16,
                user_data.as_ptr().cast(),
                user_data.len() as u32,
            ))?;
        }
        Ok(NativeRule { rule, exprs: 0 })
    }

    /// Appends an expression; at most [`MAX_EXPRS`], which keeps the message below 64 KiB (an expression is below 400 bytes).
    pub fn push(&mut self, expr: NativeExpr) -> Result<(), Invalid> {
        if self.exprs == MAX_EXPRS {
            return Err(Invalid::Rule);
        }
        self.exprs += 1;
        // SAFETY: both are alive; the rule owns the expression from here on, so it is forgotten.
        unsafe { sys::nftnl_rule_add_expr(self.rule.ptr(), expr.0.as_ptr()) };
        std::mem::forget(expr);
        Ok(())
    }

    /// The message that appends it.
    pub fn message<'a>(&self, scratch: &'a mut Scratch, header: Header) -> &'a [u8] {
        // SAFETY: the rule is alive; its size is bounded by `new` and `push`.
        unsafe { sys::nftnl_rule_nlmsg_build_payload(scratch.begin(header), self.rule.ptr()) };
        scratch.finish()
    }
}
