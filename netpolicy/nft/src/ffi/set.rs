//! Sets and their elements.

use std::ptr::NonNull;

use nftnl_sys as sys;

use super::library::{FAMILY_INET, Header, Invalid, Scratch, done, name, owned, reg_data};

owned!(
    /// A set or map that is built or parsed.
    RawSet, nftnl_set, nftnl_set_alloc, nftnl_set_free
);

/// Most bytes of elements in one message: a netlink attribute holds 64 KiB.
const MAX_ELEMENTS: usize = 48 * 1024;

/// A set, or a group of its elements.
pub struct NativeSet {
    set: RawSet,
    size: usize,
}

/// How a set is made.
pub struct Shape<'a> {
    pub flags: u32,
    pub key_type: u32,
    pub key_len: u32,
    pub verdicts: bool,
    /// Bytes of each part, for concatenated intervals.
    pub fields: &'a [u8],
    /// Whether the key is a number in the host's order.
    pub host_order: bool,
    /// Unique within the batch.
    pub id: u32,
}

/// One element to add or delete.
pub struct NativeElement<'a> {
    /// NFT_SET_ELEM_*.
    pub flags: u32,
    pub key: &'a [u8],
    /// Last key, of concatenated intervals.
    pub key_end: Option<&'a [u8]>,
    /// Code and chain, in verdict maps.
    pub verdict: Option<(i32, Option<&'a str>)>,
}

impl NativeSet {
    /// A set by name.
    pub fn new(table: &str, set: &str) -> Result<Self, Invalid> {
        let object = RawSet::new()?;
        let (table, set) = (name(table)?, name(set)?);
        // SAFETY: the object is alive, each attribute gets a value of its type, strings are copied.
        unsafe {
            done(sys::nftnl_set_set_str(object.ptr(), sys::NFTNL_SET_TABLE as u16, table.as_ptr()))?;
            done(sys::nftnl_set_set_str(object.ptr(), sys::NFTNL_SET_NAME as u16, set.as_ptr()))?;
            sys::nftnl_set_set_u32(object.ptr(), sys::NFTNL_SET_FAMILY as u16, u32::from(FAMILY_INET));
        }
        Ok(NativeSet { set: object, size: 0 })
    }

    /// Gives it its shape.
    pub fn shape(self, shape: &Shape<'_>) -> Result<Self, Invalid> {
        const DATA_VERDICT: u32 = 0xffff_ff00;
        if shape.fields.len() > 16 {
            return Err(Invalid::Data(shape.fields.len()));
        }
        // SAFETY: the object is alive, each attribute gets a value of its type; at most 16 parts (checked) are copied.
        unsafe {
            sys::nftnl_set_set_u32(self.set.ptr(), sys::NFTNL_SET_ID as u16, shape.id);
            sys::nftnl_set_set_u32(self.set.ptr(), sys::NFTNL_SET_FLAGS as u16, shape.flags);
            sys::nftnl_set_set_u32(self.set.ptr(), sys::NFTNL_SET_KEY_TYPE as u16, shape.key_type);
            sys::nftnl_set_set_u32(self.set.ptr(), sys::NFTNL_SET_KEY_LEN as u16, shape.key_len);
            if shape.verdicts {
                sys::nftnl_set_set_u32(self.set.ptr(), sys::NFTNL_SET_DATA_TYPE as u16, DATA_VERDICT);
                sys::nftnl_set_set_u32(self.set.ptr(), sys::NFTNL_SET_DATA_LEN as u16, 16);
            }
            // nft's own note about the key (type 0, 4 bytes), for `nft list`: 1 is the host's order, 2 the network's.
            let note: [u8; 6] = [0, 4, if shape.host_order { 1 } else { 2 }, 0, 0, 0];
            done(sys::nftnl_set_set_data(
                self.set.ptr(),
                sys::NFTNL_SET_USERDATA as u16,
                note.as_ptr().cast(),
                note.len() as u32,
            ))?;
            if !shape.fields.is_empty() {
                let (fields, len) = (shape.fields.as_ptr().cast(), shape.fields.len() as u32);
                done(sys::nftnl_set_set_data(self.set.ptr(), sys::NFTNL_SET_DESC_CONCAT as u16, fields, len))?;
            }
        }
        Ok(self)
    }

    /// Adds an element to the group; false if the message is full (send it and begin another).
    pub fn push(&mut self, element: &NativeElement<'_>) -> Result<bool, Invalid> {
        let size = 96 + 2 * element.key.len() + element.verdict.and_then(|v| v.1).map_or(0, |chain| chain.len() + 16);
        if self.size + size > MAX_ELEMENTS {
            return Ok(false);
        }
        self.size += size;
        let raw = element.build()?;
        // SAFETY: both are alive; the set owns the element from here on.
        unsafe { sys::nftnl_set_elem_add(self.set.ptr(), raw.as_ptr()) };
        Ok(true)
    }

    /// Whether the group has elements.
    pub fn has_elements(&self) -> bool {
        self.size > 0
    }

    /// The message about the set itself.
    pub fn message<'a>(&self, scratch: &'a mut Scratch, header: Header) -> &'a [u8] {
        // SAFETY: the set is alive; names and shape are bounded.
        unsafe { sys::nftnl_set_nlmsg_build_payload(scratch.begin(header), self.set.ptr()) };
        scratch.finish()
    }

    /// The message about its elements.
    pub fn elements_message<'a>(&self, scratch: &'a mut Scratch, header: Header) -> &'a [u8] {
        // SAFETY: the set is alive; `push` bounds the elements to MAX_ELEMENTS.
        unsafe { sys::nftnl_set_elems_nlmsg_build_payload(scratch.begin(header), self.set.ptr()) };
        scratch.finish()
    }
}

impl NativeElement<'_> {
    fn build(&self) -> Result<NonNull<sys::nftnl_set_elem>, Invalid> {
        let (key, key_len) = reg_data(self.key)?;
        let end = self.key_end.map(reg_data).transpose()?;
        let chain = self.verdict.and_then(|v| v.1).map(name).transpose()?;
        // SAFETY: allocates; null without memory.
        let raw = NonNull::new(unsafe { sys::nftnl_set_elem_alloc() }).ok_or(Invalid::Memory)?;
        let element = raw.as_ptr();
        // SAFETY: alive and not yet owned by a set; each attribute gets a value of its type; keys are at most 64 bytes
        // and copied, the chain's name too.
        let result = unsafe {
            if self.flags != 0 {
                sys::nftnl_set_elem_set_u32(element, sys::NFTNL_SET_ELEM_FLAGS as u16, self.flags);
            }
            let mut result = sys::nftnl_set_elem_set(element, sys::NFTNL_SET_ELEM_KEY as u16, key, key_len);
            if let Some((end, len)) = end {
                result |= sys::nftnl_set_elem_set(element, sys::NFTNL_SET_ELEM_KEY_END as u16, end, len);
            }
            if let Some((code, _)) = self.verdict {
                sys::nftnl_set_elem_set_u32(element, sys::NFTNL_SET_ELEM_VERDICT as u16, code as u32);
            }
            if let Some(chain) = &chain {
                result |= sys::nftnl_set_elem_set_str(element, sys::NFTNL_SET_ELEM_CHAIN as u16, chain.as_ptr());
            }
            result
        };
        if result < 0 {
            // SAFETY: allocated above, owned by nobody else.
            unsafe { sys::nftnl_set_elem_free(element) };
            return Err(Invalid::Memory);
        }
        Ok(raw)
    }
}
