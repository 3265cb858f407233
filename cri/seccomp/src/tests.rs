//! Programs are run here as the kernel runs them, on calls of every architecture.

use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const X32: u32 = 0x4000_0000;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

/// `struct seccomp_data` with one argument.
fn data(arch: u32, number: u32, argument: u64) -> Vec<u8> {
    let mut data = [number.to_ne_bytes(), arch.to_ne_bytes()].concat();
    data.extend(0u64.to_ne_bytes());
    data.extend(argument.to_ne_bytes());
    data.resize(64, 0);
    data
}

/// Classical BPF, as far as seccomp programs use it.
fn run(program: &[u8], data: &[u8]) -> u32 {
    let word = |at: usize| u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
    let (mut at, mut a, mut memory) = (0, 0u32, [0u32; 16]);
    loop {
        let insn = &program[at * 8..at * 8 + 8];
        let (code, jt, jf) = (u16::from_ne_bytes([insn[0], insn[1]]), usize::from(insn[2]), usize::from(insn[3]));
        let k = u32::from_ne_bytes(insn[4..8].try_into().unwrap());
        at += 1;
        let mut branch = |yes: bool| at += if yes { jt } else { jf };
        match code {
            0x20 => a = word(k as usize),
            0x60 => a = memory[k as usize],
            0x02 => memory[k as usize] = a,
            0x54 => a &= k,
            0x05 => at += k as usize,
            0x15 => branch(a == k),
            0x25 => branch(a > k),
            0x35 => branch(a >= k),
            0x45 => branch(a & k != 0),
            0x06 => return k,
            other => panic!("instruction {other:#x} at {at}"),
        }
    }
}

fn answer(program: &[u8], arch: u32, number: u32, argument: u64) -> u32 {
    run(program, &data(arch, number, argument))
}

fn default_profile(added: &[&str]) -> Vec<u8> {
    let added: Vec<String> = added.iter().map(|name| name.to_string()).collect();
    Seccomp::default().runtime_default(&added).unwrap()
}

#[test]
fn socket_families_are_compared_as_the_kernel_does() {
    let program = default_profile(&[]);
    for (arch, socket) in [(X86_64, 41), (X86_64, 41 | X32), (I386, 359)] {
        for upper in [0, 1 << 32, u64::MAX << 32] {
            for family in 0..64 {
                let wanted = if (1..=45).contains(&family) && ![38, 40].contains(&family) { ALLOW } else { EPERM };
                assert_eq!(answer(&program, arch, socket, upper | family), wanted, "{arch:x} {family} {upper:x}");
            }
            assert_eq!(answer(&program, arch, socket, upper | 0xffff_ffff), EPERM);
        }
    }
    // socket(2) by socketcall(2), whose family lies in memory; the rest of it is allowed.
    assert_eq!(answer(&program, I386, 102, 1), ENOSYS);
    assert_eq!(answer(&program, I386, 102, 1 | 1 << 32), ENOSYS);
    assert_eq!(answer(&program, I386, 102, 3), ALLOW);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let program = default_profile(&[]);
    for (arch, bit) in [(X86_64, 0), (X86_64, X32), (I386, 0)] {
        for (name, number) in prologue::BY_NUMBER {
            assert_eq!(answer(&program, arch, number | bit, 0), ALLOW, "{name}");
        }
        for number in (467..512).chain([600, 1000, 0x3fff_ffff]) {
            assert_eq!(answer(&program, arch, number | bit, 0), ENOSYS, "{arch:x} {number}");
        }
    }
    assert_eq!(answer(&program, X86_64, u32::MAX, 0), ENOSYS);
    assert_eq!(answer(&program, X86_64, 335, 0), ALLOW, "uretprobe");
    // What the profile knows and refuses stays refused: mount, bpf, keyctl, io_uring_setup.
    for number in [165, 321, 250, 425] {
        assert_eq!(answer(&program, X86_64, number, 0), EPERM, "{number}");
    }
    // clone3, whose flags no filter can see.
    assert_eq!(answer(&program, X86_64, 435, 0), ENOSYS);
}

#[test]
fn clocks_are_read_and_not_set() {
    let program = default_profile(&[]);
    // adjtimex, clock_adjtime (the kernel asks for the capability to set), memfd_secret, fanotify_mark.
    for number in [159, 305, 447, 301] {
        assert_eq!(answer(&program, X86_64, number, 0), ALLOW, "{number}");
    }
    // clock_settime, settimeofday.
    for number in [227, 164] {
        assert_eq!(answer(&program, X86_64, number, 0), EPERM, "{number}");
        assert_eq!(answer(&default_profile(&["CAP_SYS_TIME"]), X86_64, number, 0), ALLOW, "{number}");
    }
}

#[test]
fn namespaces_are_not_made_by_clone() {
    let program = default_profile(&[]);
    assert_eq!(answer(&program, X86_64, 56, 17), ALLOW);
    for flag in [0x0002_0000u64, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(answer(&program, X86_64, 56, flag | 17), EPERM, "{flag:x}");
    }
    assert_eq!(answer(&default_profile(&["CAP_SYS_ADMIN"]), X86_64, 56, 0x0002_0000), ALLOW);
}

#[test]
fn a_capability_opens_its_calls_and_no_others() {
    let seccomp = Seccomp::default();
    let plain = seccomp.runtime_default(&[]).unwrap();
    assert!(plain.len() > 8 && plain.len().is_multiple_of(8));
    assert_ne!(plain, seccomp.runtime_default(&["CAP_SYS_ADMIN".into()]).unwrap());
    assert_eq!(plain, seccomp.runtime_default(&["CAP_CHOWN".into()]).unwrap());
}
