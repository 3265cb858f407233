//! The first process of a container: command, environment, directory, privileges.

use cofferdam_cri_api::v1 as cri;
use oci_spec::runtime::{Process, ProcessBuilder};

use super::error::{SpecError, builder};
use super::inputs::ContainerInputs;
use super::{capabilities, env, user};

pub(super) fn process(
    inputs: &ContainerInputs<'_>,
    security: &cri::LinuxContainerSecurityContext,
    identity: &user::Identity,
) -> Result<Process, SpecError> {
    let resources = inputs.config.linux.as_ref().and_then(|l| l.resources.as_ref());
    let oom = resources.map_or(0, |r| r.oom_score_adj);
    let oom = i32::try_from(oom).ok().filter(|v| (-1000..=1000).contains(v));
    let oom = oom.ok_or_else(|| SpecError::new("linux.resources.oom_score_adj", "is not within -1000..=1000"))?;
    ProcessBuilder::default()
        .terminal(inputs.config.tty)
        .user(identity.to_oci()?)
        .args(args(inputs)?)
        .env(env::env(inputs, identity.uid)?)
        .cwd(cwd(inputs))
        .capabilities(capabilities::capabilities(security)?)
        .rlimits(Vec::new())
        .no_new_privileges(security.no_new_privs)
        .oom_score_adj(oom)
        .build()
        .map_err(builder)
}

/// Kubernetes' rule: `command` replaces the image's entrypoint and its arguments, `args` only the arguments.
fn args(inputs: &ContainerInputs<'_>) -> Result<Vec<String>, SpecError> {
    let (config, image) = (inputs.config, inputs.image);
    let (entrypoint, cmd) = match (config.command.is_empty(), config.args.is_empty()) {
        (false, _) => (&config.command, &config.args),
        (true, false) => (&image.entrypoint, &config.args),
        (true, true) => (&image.entrypoint, &image.cmd),
    };
    let args: Vec<String> = entrypoint.iter().chain(cmd).cloned().collect();
    match args.first() {
        None => Err(SpecError::new("command", "is empty, and the image has neither entrypoint nor command")),
        Some(first) if first.is_empty() => Err(SpecError::new("command", "its first word is empty")),
        Some(_) => Ok(args),
    }
}

fn cwd(inputs: &ContainerInputs<'_>) -> String {
    let first = [&inputs.config.working_dir, &inputs.image.working_dir].into_iter().find(|d| !d.is_empty());
    match first {
        None => "/".to_owned(),
        Some(dir) if dir.starts_with('/') => dir.clone(),
        Some(dir) => format!("/{dir}"),
    }
}

const TERM: i32 = 15;

/// The signal that StopContainer sends first: the container's, else the image's, else SIGTERM. An image's that is none
/// keeps no container from running, as with containerd, which fails to stop it then; here that is SIGTERM too.
pub(crate) fn stop_signal(config: &cri::ContainerConfig, image: &str) -> Result<i32, SpecError> {
    match config.stop_signal() {
        cri::Signal::RuntimeDefault if image.is_empty() => Ok(TERM),
        cri::Signal::RuntimeDefault => Ok(signal_number(image).unwrap_or_else(|| {
            tracing::warn!(signal = image, "the image's stop signal is not known: SIGTERM is sent instead");
            TERM
        })),
        signal => {
            let name = signal.as_str_name().trim_start_matches("SIGNAL_");
            signal_number(name).ok_or_else(|| SpecError::new("stop_signal", format!("unknown signal {name:?}")))
        }
    }
}

/// A signal as CRI names it; aliases go by the usual name. One that CRI has no name for is told as the default.
pub(crate) fn signal_name(number: i32) -> cri::Signal {
    let all = (1..).map_while(|value| cri::Signal::try_from(value).ok());
    let of = |signal: &cri::Signal| signal_number(signal.as_str_name().trim_start_matches("SIGNAL_"));
    all.into_iter().find(|signal| of(signal) == Some(number)).unwrap_or(cri::Signal::RuntimeDefault)
}

/// The number of a signal by name, with or without SIG, or by number; Linux on x86-64 and arm64.
fn signal_number(name: &str) -> Option<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    if let Ok(number) = name.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let short = match short {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        other => other,
    };
    if let Some(i) = NAMES.iter().position(|n| *n == short) {
        return i32::try_from(i + 1).ok();
    }
    let offset = |rest: &str, words: [&str; 2]| match rest {
        "" => Some(0),
        rest => words.iter().find_map(|w| rest.strip_prefix(w)).and_then(|n| n.parse::<i32>().ok()),
    };
    if let Some(rest) = short.strip_prefix("RTMIN") {
        return offset(rest, ["PLUS", "+"]).map(|n| RTMIN + n).filter(|n| *n <= RTMAX);
    }
    short.strip_prefix("RTMAX").and_then(|rest| offset(rest, ["MINUS", "-"])).map(|n| RTMAX - n).filter(|n| *n >= RTMIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_of_cri_has_a_number() {
        for value in 1..=65 {
            let signal = cri::Signal::try_from(value).unwrap();
            let config = cri::ContainerConfig { stop_signal: value, ..Default::default() };
            assert!(stop_signal(&config, "").is_ok(), "{}", signal.as_str_name());
        }
    }

    #[test]
    fn a_number_is_told_by_its_usual_name() {
        for (number, name) in [(15, "SIGTERM"), (2, "SIGINT"), (6, "SIGABRT"), (17, "SIGCHLD"), (37, "SIGRTMINPLUS3")] {
            assert_eq!(signal_name(number).as_str_name(), format!("SIGNAL_{name}"));
        }
        assert_eq!(signal_name(0), cri::Signal::RuntimeDefault);
    }

    #[test]
    fn an_unknown_signal_of_an_image_is_the_usual_one() {
        for image in ["", "SIGNOPE", "0", "999", "-1"] {
            assert_eq!(stop_signal(&Default::default(), image), Ok(15), "{image:?}");
        }
        assert_eq!(stop_signal(&Default::default(), "SIGQUIT"), Ok(3));
    }

    #[test]
    fn signals_are_known_by_name_number_and_offset() {
        assert_eq!(signal_number("SIGTERM"), Some(15));
        assert_eq!(signal_number("quit"), Some(3));
        assert_eq!(signal_number("9"), Some(9));
        assert_eq!(signal_number("SIGRTMIN+3"), Some(37));
        assert_eq!(signal_number("SIGRTMAXMINUS14"), Some(50));
        assert_eq!(signal_number("SIGNOPE"), None);
    }
}
