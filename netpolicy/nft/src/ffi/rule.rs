//! Rules, within the limits of the library.

use std::ffi::CString;

use nftnl::expr::{Bitwise, Cmp, CmpOp, Expression};

use super::library::{Header, Invalid, MAX_EXPRS, Scratch, reg_data};

/// Goes on if the first register is, or is not, this.
///
/// # Errors
/// The value is empty or does not fit into a register.
pub fn cmp(op: CmpOp, value: &[u8]) -> Result<Cmp<&[u8]>, Invalid> {
    reg_data(value)?;
    Ok(Cmp::new(op, value))
}

/// Sets the first register to (itself & mask) ^ xor.
///
/// # Errors
/// The values are empty, do not fit into a register, or differ in length.
pub fn bitwise<'a>(mask: &'a [u8], xor: &'a [u8]) -> Result<Bitwise<&'a [u8], &'a [u8]>, Invalid> {
    reg_data(mask)?;
    if mask.len() != xor.len() {
        return Err(Invalid::Data(xor.len()));
    }
    Ok(Bitwise::new(mask, xor))
}

/// A rule to append.
pub struct NativeRule<'a> {
    rule: nftnl::Rule<'a>,
    exprs: usize,
}

impl<'a> NativeRule<'a> {
    /// An empty rule of this chain. `comment` comes back when the rule is read.
    ///
    /// # Errors
    /// The comment is too long or has a NUL byte.
    pub fn new(chain: &'a nftnl::Chain<'a>, comment: String) -> Result<Self, Invalid> {
        let mut rule = nftnl::Rule::new(chain);
        let text = CString::new(comment.clone()).map_err(|_| Invalid::Name(comment.clone()))?;
        rule.set_comment(&text).map_err(|_| Invalid::Name(comment))?;
        Ok(NativeRule { rule, exprs: 0 })
    }

    /// Appends an expression; at most [`MAX_EXPRS`], which keeps the message below 64 KiB (an expression is below 400
    /// bytes).
    ///
    /// # Errors
    /// The rule is full.
    pub fn push(&mut self, expr: impl Expression) -> Result<(), Invalid> {
        if self.exprs == MAX_EXPRS {
            return Err(Invalid::Rule);
        }
        self.exprs += 1;
        self.rule.add_expr(&expr);
        Ok(())
    }

    /// The message that appends it.
    pub fn message<'s>(&self, scratch: &'s mut Scratch, header: Header) -> &'s [u8] {
        scratch.message(header, &self.rule)
    }
}
