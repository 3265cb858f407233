//! Expressions that the crate `nftnl` lacks.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::NonNull;

use nftnl::expr::Expression;
use nftnl_sys as sys;

use super::library::{Invalid, done, name, reg_data};

/// One expression of the kernel's virtual machine, until a rule takes it.
pub struct NativeExpr(Cell<Option<NonNull<sys::nftnl_expr>>>);

impl Drop for NativeExpr {
    fn drop(&mut self) {
        if let Some(expr) = self.0.take() {
            // SAFETY: allocated by `alloc`, and no rule has taken it.
            unsafe { sys::nftnl_expr_free(expr.as_ptr()) };
        }
    }
}

impl Expression for NativeExpr {
    /// Hands the expression over. `NativeRule::push` consumes it, so there is no second call.
    fn to_expr(&self, _rule: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        self.0.take().unwrap_or_else(|| std::process::abort())
    }
}

impl NativeExpr {
    fn alloc(kind: &CStr) -> Result<Self, Invalid> {
        // SAFETY: a NUL-terminated name; null if unknown or without memory.
        let expr = NonNull::new(unsafe { sys::nftnl_expr_alloc(kind.as_ptr()) }).ok_or(Invalid::Memory)?;
        Ok(NativeExpr(Cell::new(Some(expr))))
    }

    fn ptr(&self) -> *mut sys::nftnl_expr {
        self.0.get().map_or(std::ptr::null_mut(), NonNull::as_ptr)
    }

    /// Private, since the attribute must be a number of the expression's kind.
    fn u32(self, attribute: u32, value: u32) -> Self {
        // SAFETY: the callers below name u32 attributes of this kind of expression.
        unsafe { sys::nftnl_expr_set_u32(self.ptr(), attribute as u16, value) };
        self
    }

    fn text(self, attribute: u32, value: &str) -> Result<Self, Invalid> {
        let value = name(value)?;
        // SAFETY: the callers below name string attributes; the library copies.
        done(unsafe { sys::nftnl_expr_set_str(self.ptr(), attribute as u16, value.as_ptr()) })?;
        Ok(self)
    }

    fn data(self, attribute: u32, value: &[u8]) -> Result<Self, Invalid> {
        let (pointer, len) = reg_data(value)?;
        // SAFETY: the callers below name data attributes; at most 64 bytes (checked), copied.
        done(unsafe { sys::nftnl_expr_set(self.ptr(), attribute as u16, pointer, len) })?;
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

    /// Goes on if the register is inside, or outside.
    pub fn range(register: u32, outside: bool, from: &[u8], to: &[u8]) -> Result<Self, Invalid> {
        Self::alloc(c"range")?
            .u32(sys::NFTNL_EXPR_RANGE_SREG, register)
            .u32(sys::NFTNL_EXPR_RANGE_OP, u32::from(outside))
            .data(sys::NFTNL_EXPR_RANGE_FROM_DATA, from)?
            .data(sys::NFTNL_EXPR_RANGE_TO_DATA, to)
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

    /// Logs to an nflog group.
    pub fn nflog(group: u16, prefix: &str) -> Result<Self, Invalid> {
        let expr = Self::alloc(c"log")?;
        // SAFETY: a u16 attribute of `log`.
        unsafe { sys::nftnl_expr_set_u16(expr.ptr(), sys::NFTNL_EXPR_LOG_GROUP as u16, group) };
        if prefix.is_empty() { Ok(expr) } else { expr.text(sys::NFTNL_EXPR_LOG_PREFIX, prefix) }
    }
}
