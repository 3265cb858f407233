//! Limits and device rules, written to a cgroup.

use std::os::fd::AsFd;

use cofferdam_sys::bpf::{Insn, attach_device_program};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use crate::Error;
use crate::cgroup::{Cgroup, write};
use crate::error::Step;
use crate::limits::{Write, writes};

impl Cgroup {
    /// Writes limits. Of memory and swap, each bounds the other, so what fails is tried once more after the rest.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        let mut again = Vec::new();
        for one in writes(resources, self.v2())? {
            match self.write_one(&one) {
                Ok(()) => {}
                Err(_) if one.controller == "memory" || one.controller == "cpu" => again.push(one),
                Err(error) => return Err(error),
            }
        }
        again.iter().try_for_each(|one| self.write_one(one))
    }

    fn write_one(&self, one: &Write) -> Result<(), Error> {
        let dir = self.dir(one.controller);
        let file = dir.map(|d| d.join(&one.file)).filter(|f| f.exists());
        match file {
            Some(file) => {
                write(&file, &one.value).step_at("set", format!("{} to {} ({})", file.display(), one.value, one.field))
            }
            None if one.optional => Ok(()),
            None => Err(Error::refused(one.field, format!("this node has no {} for it", one.file))),
        }
    }

    /// Device rules, in order; after a rule that denies all, the devices of every container are allowed again.
    pub fn apply_devices(&self, resources: &LinuxResources) -> Result<(), Error> {
        let rules = rules(resources.devices().as_deref().unwrap_or_default());
        if rules.is_empty() {
            return Ok(());
        }
        if self.v2() {
            let Some(dir) = self.birth()? else { return Ok(()) };
            let dir = rustix::fs::openat(
                &dir,
                ".",
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .step("open the cgroup")?;
            return attach_device_program(dir.as_fd(), &program(&rules)).step("limit devices");
        }
        let Some(dir) = self.dir("devices") else {
            return Err(Error::refused("linux.resources.devices", "this node has no devices controller"));
        };
        for rule in &rules {
            let file = dir.join(if rule.allow { "devices.allow" } else { "devices.deny" });
            write(&file, &rule.text()).step_at("limit devices", rule.text())?;
        }
        Ok(())
    }
}

/// A rule; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<char>,
    major: Option<i64>,
    minor: Option<i64>,
    access: String,
}

impl Rule {
    fn text(&self) -> String {
        let number = |n: Option<i64>| n.map_or("*".to_owned(), |n| n.to_string());
        match self.kind {
            None => "a".to_owned(),
            Some(kind) => format!("{kind} {}:{} {}", number(self.major), number(self.minor), self.access),
        }
    }
}

fn rules(asked: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for rule in asked {
        let kind = match rule.typ() {
            Some(LinuxDeviceType::B) => Some('b'),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some('c'),
            _ => None,
        };
        let number = |n: Option<i64>| n.filter(|n| *n >= 0);
        let access = rule.access().clone().unwrap_or_else(|| "rwm".into());
        let rule = Rule { allow: rule.allow(), kind, major: number(rule.major()), minor: number(rule.minor()), access };
        let all = rule.kind.is_none() && !rule.allow;
        rules.push(rule);
        if all {
            rules.extend(defaults());
        }
    }
    rules
}

/// Any node may be made; null, full, zero, tty, random, urandom, ptys and ptmx may be used.
fn defaults() -> impl Iterator<Item = Rule> {
    let rule =
        |kind, major, minor, access: &str| Rule { allow: true, kind: Some(kind), major, minor, access: access.into() };
    let used =
        [(1, Some(3)), (1, Some(7)), (1, Some(5)), (5, Some(0)), (1, Some(8)), (1, Some(9)), (136, None), (5, Some(2))];
    [rule('c', None, None, "m"), rule('b', None, None, "m")]
        .into_iter()
        .chain(used.into_iter().map(move |(major, minor)| rule('c', Some(major), minor, "rwm")))
}

/// The rules as a program of cgroup v2: the last rule that matches decides, so they are tried backwards.
fn program(rules: &[Rule]) -> Vec<Insn> {
    const LOAD: u8 = 0x61;
    let insn = |code, regs, off, imm| Insn { code, regs, off, imm };
    let mut code = vec![
        insn(LOAD, 0x12, 0, 0),      // r2 = type and access
        insn(0xbf, 0x23, 0, 0),      // r3 = r2
        insn(0x54, 0x02, 0, 0xffff), // w2 &= type
        insn(0x74, 0x03, 0, 16),     // w3 >>= 16: access
        insn(LOAD, 0x14, 4, 0),      // r4 = major
        insn(LOAD, 0x15, 8, 0),      // r5 = minor
    ];
    // Behind one that always matches nothing is reached, which the verifier refuses.
    let last_for_all = rules.iter().rposition(|rule| rule.kind.is_none());
    for rule in rules[last_for_all.unwrap_or(0)..].iter().rev() {
        let mut tests = Vec::new();
        let mut differs =
            |register: u8, value: i64| tests.push(insn(0x56, register, 0, i32::try_from(value).unwrap_or(-1)));
        rule.kind.into_iter().for_each(|kind| differs(2, if kind == 'b' { 1 } else { 2 }));
        rule.major.filter(|_| rule.kind.is_some()).into_iter().for_each(|major| differs(4, major));
        rule.minor.filter(|_| rule.kind.is_some()).into_iter().for_each(|minor| differs(5, minor));
        let access = [('m', 1), ('r', 2), ('w', 4)]
            .iter()
            .filter(|(c, _)| rule.access.contains(*c))
            .map(|(_, bit)| bit)
            .sum::<i32>();
        if rule.kind.is_some() && access != 7 {
            tests.push(insn(0xbc, 0x36, 0, 0)); // w6 = w3
            tests.push(insn(0x54, 0x06, 0, access)); // w6 &= access
            match rule.allow {
                true => tests.push(insn(0x5e, 0x36, 0, 0)), // all that is asked must be allowed
                false => tests.push(insn(0x16, 0x06, 0, 0)), // any that is denied suffices
            }
        }
        let end = tests.len();
        for (index, test) in tests.iter_mut().enumerate().filter(|(_, t)| t.code & 7 == 6) {
            test.off = (end - index + 1) as i16;
        }
        code.extend(tests);
        code.push(insn(0xb4, 0, 0, rule.allow.into()));
        code.push(insn(0x95, 0, 0, 0));
    }
    if last_for_all.is_none() {
        code.push(insn(0xb4, 0, 0, 1));
        code.push(insn(0x95, 0, 0, 0));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    #[test]
    fn denying_all_leaves_the_standard_devices() {
        let deny = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build().unwrap();
        let texts: Vec<String> = rules(&[deny]).iter().map(Rule::text).collect();
        assert_eq!(texts[0], "a");
        assert!(texts.contains(&"c 1:3 rwm".to_owned()) && texts.contains(&"c 136:* rwm".to_owned()), "{texts:?}");
    }

    #[test]
    fn nothing_stands_behind_a_rule_for_all() {
        let all = |allow| LinuxDeviceCgroupBuilder::default().allow(allow).access("rwm").build().unwrap();
        let code = program(&rules(&[all(false), all(true)]));
        assert_eq!(code[6..].iter().map(|i| (i.code, i.imm)).collect::<Vec<_>>(), [(0xb4, 1), (0x95, 0)]);
    }

    #[test]
    fn every_jump_of_the_program_stays_inside_it() {
        let deny = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build().unwrap();
        let code = program(&rules(&[deny]));
        for (index, insn) in code.iter().enumerate().filter(|(_, i)| i.code & 7 == 6) {
            assert!(index + 1 + (insn.off as usize) < code.len(), "{index}");
        }
    }
}
