//! The environment of a container's first process, and so of its execs.

use std::collections::HashMap;

use cofferdam_sandbox::pack_variable;

use super::error::SpecError;
use super::inputs::ContainerInputs;
use super::user::UserFiles;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables in the order of their first appearance, each with its last value.
#[derive(Default)]
struct Variables {
    list: Vec<Vec<u8>>,
    places: HashMap<Vec<u8>, usize>,
}

impl Variables {
    fn set(&mut self, variable: Vec<u8>) {
        let name = variable.split(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
        match self.places.get(&name) {
            Some(place) => self.list[*place] = variable,
            None => {
                self.places.insert(name, self.list.len());
                self.list.push(variable);
            }
        }
    }

    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.places.get(name).and_then(|place| self.list[*place].get(name.len() + 1..))
    }
}

/// Defaults, then the image's, then the request's. HOME is that of the user in the image's passwd, where none of them
/// sets it; programs rely on it.
pub(super) fn env(inputs: &ContainerInputs<'_>, uid: i64) -> Result<Vec<String>, SpecError> {
    let mut env = Variables::default();
    env.set(DEFAULT_PATH.into());
    if !inputs.sandbox.hostname.is_empty() {
        env.set(format!("HOSTNAME={}", inputs.sandbox.hostname).into());
    }
    if inputs.config.tty {
        env.set("TERM=xterm".into());
    }
    inputs.image.env.iter().for_each(|variable| env.set(variable.clone().into()));
    for variable in &inputs.config.envs {
        if variable.key.is_empty() || variable.key.contains(['=', '\0']) {
            return Err(SpecError::new("envs", format!("{:?} is not a name", variable.key)));
        }
        env.set([variable.key.as_bytes(), b"=", &variable.value].concat());
    }
    if env.value(b"HOME").unwrap_or_default().is_empty() {
        env.set(format!("HOME={}", home(inputs.users, uid)).into());
    }
    if let Some(bad) = env.list.iter().find(|variable| variable.contains(&0)) {
        let name = bad.split(|byte| *byte == b'=' || *byte == 0).next().unwrap_or_default();
        return Err(SpecError::new("envs", format!("{:?} holds a NUL", String::from_utf8_lossy(name))));
    }
    Ok(env.list.iter().map(|variable| pack_variable(variable)).collect())
}

/// The home directory of a uid, as a login has it; `/` where the image's passwd says nothing of it.
fn home(files: &UserFiles, uid: i64) -> &str {
    let of = |line: &'_ str| line.split(':').nth(2).and_then(|field| field.parse::<i64>().ok());
    let line = files.passwd.lines().find(|line| of(line) == Some(uid));
    line.and_then(|line| line.split(':').nth(5)).filter(|home| !home.is_empty()).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_the_users_or_the_root() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33::/var/www:\nbare:x:7:7::\n";
        let files = UserFiles { passwd: passwd.into(), group: String::new() };
        assert_eq!([0, 33, 7, 4242].map(|uid| home(&files, uid)), ["/root", "/var/www", "/", "/"]);
        assert_eq!(home(&UserFiles::default(), 0), "/");
    }

    #[test]
    fn the_last_value_counts_at_the_first_place() {
        let mut env = Variables::default();
        for variable in ["A=1", "B=2", "A=3", "EMPTY", "A1=4", "B="] {
            env.set(variable.into());
        }
        assert_eq!(env.list, [&b"A=3"[..], b"B=", b"EMPTY", b"A1=4"]);
        let values = [&b"A"[..], b"B", b"EMPTY", b"NONE"].map(|name| env.value(name));
        assert_eq!(values, [Some(&b"3"[..]), Some(&b""[..]), None, None]);
    }
}
