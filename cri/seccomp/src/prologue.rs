//! What libseccomp cannot say, in front of its program: socket families as the kernel compares them, and system calls
//! by numbers that this libseccomp has no name for.
//!
//! libseccomp compares whole 64-bit arguments, while the kernel takes a family as an int: with a bit in the upper half
//! set, a family that is refused would pass. And its default answer is EPERM, which C libraries take for a refusal; for
//! a call that is newer than the profile they expect ENOSYS, after which they use an older one.

use std::collections::HashMap;

/// The newest call that libseccomp 2.5 has a name for (set_mempolicy_home_node). The prologue decides on all above.
const NEWEST_BY_NAME: u32 = 450;

/// Calls above: since 5.1 a new one has the same number on every architecture (but Alpha).
pub(crate) const BY_NUMBER: [(&str, u32); 16] = [
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
];

/// The families that a container may use: those that Linux has, without two. AF_VSOCK reaches the hypervisor and other
/// machines past every network namespace; AF_ALG is a large part of the kernel that ordinary programs do without.
const FAMILIES: std::ops::RangeInclusive<u32> = 1..=45;
const REFUSED: [u32; 2] = [AF_ALG, AF_VSOCK];
const AF_ALG: u32 = 38;
const AF_VSOCK: u32 = 40;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`; of an argument the half that the kernel takes for an int.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const ABOVE: u16 = 0x25;
const AT_LEAST: u16 = 0x35;
const HAS_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// x32 is the native architecture with this bit in the number, and calls of its own from 512 to 547.
const X32: u32 = 0x4000_0000;

/// One architecture: what `arch` says, and its numbers.
struct Arch {
    token: u32,
    socket: u32,
    /// Makes sockets from arguments in memory, where no filter can look.
    socketcall: Option<u32>,
    x32: bool,
    /// (name, number) of calls below [`NEWEST_BY_NAME`] that libseccomp 2.5 does not know all the same.
    late: &'static [(&'static str, u32)],
}

#[cfg(target_arch = "x86_64")]
const ARCHES: [Arch; 2] = [
    Arch { token: 0xc000_003e, socket: 41, socketcall: None, x32: true, late: &[("uretprobe", 335)] },
    Arch { token: 0x4000_0003, socket: 359, socketcall: Some(102), x32: false, late: &[] },
];
#[cfg(not(target_arch = "x86_64"))]
const ARCHES: [Arch; 1] = [Arch { token: 0xc000_00b7, socket: 198, socketcall: None, x32: false, late: &[] }];

/// Where a jump leads, forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Label {
    /// The next instruction.
    Next,
    /// The next architecture.
    Other,
    /// libseccomp's program, which loads all that it looks at.
    Rest,
    Main,
    Newer,
    Family,
    SocketCall,
    Allow,
    Perm,
    NoSys,
}

#[derive(Default)]
struct Code {
    instructions: Vec<(u16, u32, Label, Label)>,
    labels: HashMap<Label, usize>,
}

impl Code {
    fn put(&mut self, code: u16, value: u32) {
        self.instructions.push((code, value, Label::Next, Label::Next));
    }

    fn branch(&mut self, code: u16, value: u32, yes: Label, no: Label) {
        self.instructions.push((code, value, yes, no));
    }

    fn here(&mut self, label: Label) {
        self.labels.insert(label, self.instructions.len());
    }

    /// One architecture's instructions; `Rest` is reached by a long jump, whose distance `behind` completes.
    fn encode(&self, behind: usize) -> Vec<u8> {
        let end = self.instructions.len();
        let distance = |at: usize, label: Label| match label {
            Label::Next => 0,
            Label::Rest => end + behind - at - 1,
            other => self.labels.get(&other).copied().unwrap_or(end) - at - 1,
        };
        let mut bytes = Vec::new();
        for (at, (code, value, yes, no)) in self.instructions.iter().enumerate() {
            let long = *code == JUMP;
            let value = if long { distance(at, *yes) as u32 } else { *value };
            let short = |label| if long { 0 } else { distance(at, label) as u8 };
            bytes.extend(code.to_ne_bytes());
            bytes.extend([short(*yes), short(*no)]);
            bytes.extend(value.to_ne_bytes());
        }
        bytes
    }
}

fn of_arch(arch: &Arch, allowed: &dyn Fn(&str) -> bool) -> Code {
    use Label::{Allow, Family, Main, Newer, Next, NoSys, Other, Perm, Rest, SocketCall};
    let mut code = Code::default();
    code.put(LOAD, ARCH);
    code.branch(EQUAL, arch.token, Next, Other);
    code.put(LOAD, NUMBER);
    if arch.x32 {
        code.branch(HAS_BIT, X32, Next, Main);
        code.put(AND, !X32);
        code.branch(AT_LEAST, 512, Next, Main);
        code.branch(ABOVE, 547, NoSys, Next);
        code.branch(JUMP, 0, Rest, Next);
        code.here(Main);
    }
    code.branch(EQUAL, arch.socket, Family, Next);
    if let Some(call) = arch.socketcall {
        code.branch(EQUAL, call, SocketCall, Next);
    }
    code.branch(ABOVE, NEWEST_BY_NAME, Newer, Next);
    for (name, number) in arch.late {
        if allowed(name) {
            code.branch(EQUAL, *number, Allow, Next);
        }
    }
    code.branch(JUMP, 0, Rest, Next);
    code.here(Newer);
    for (_, number) in BY_NUMBER.iter().filter(|(name, _)| allowed(name)) {
        code.branch(EQUAL, *number, Allow, Next);
    }
    code.branch(JUMP, 0, NoSys, Next);
    if arch.socketcall.is_some() {
        code.here(SocketCall);
        code.put(LOAD, ARGUMENT);
        // SYS_SOCKET. Libraries have tried socket(2) before, or do after this answer.
        code.branch(EQUAL, 1, NoSys, Next);
        code.branch(JUMP, 0, Rest, Next);
    }
    code.here(Family);
    code.put(LOAD, ARGUMENT);
    for family in REFUSED {
        code.branch(EQUAL, family, Perm, Next);
    }
    code.branch(ABOVE, *FAMILIES.end(), Perm, Next);
    code.branch(AT_LEAST, *FAMILIES.start(), Next, Perm);
    code.branch(JUMP, 0, Rest, Next);
    for (label, answer) in [(Perm, ERRNO | EPERM), (NoSys, ERRNO | ENOSYS), (Allow, ALLOW)] {
        code.here(label);
        code.put(RETURN, answer);
    }
    // `Other` is the end of this.
    code
}

/// Puts it in front of libseccomp's program. `allowed` says which calls the profile allows without a condition.
pub(crate) fn before(program: &[u8], allowed: &dyn Fn(&str) -> bool) -> Vec<u8> {
    let parts: Vec<Code> = ARCHES.iter().map(|arch| of_arch(arch, allowed)).collect();
    let mut bytes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let behind = parts[index + 1..].iter().map(|later| later.instructions.len()).sum();
        bytes.extend(part.encode(behind));
    }
    bytes.extend(program);
    bytes
}
