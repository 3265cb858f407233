//! Last words, and the end of the machine.

use std::io::Write;

/// Writes a reason to the console, which is standard error of PID 1; without one, to the kernel's log.
pub(crate) fn report(reason: &str) {
    let line = format!("cofferdam-agent: {}\n", reason.replace('\n', " "));
    if std::io::stderr().write_all(line.as_bytes()).is_err() {
        kernel_log(2, &line);
    }
}

/// Writes to the kernel's log what only somebody who looks there wants to know.
pub(crate) fn note(text: &str) {
    kernel_log(6, &format!("cofferdam-agent: {text}\n"));
}

fn kernel_log(level: u8, line: &str) {
    if let Ok(mut log) = std::fs::OpenOptions::new().write(true).open("/dev/kmsg") {
        // Nowhere is left to tell that this failed.
        let _ = log.write_all(format!("<{level}>{line}").as_bytes());
    }
}

/// A panic of this process is reported and ends the machine; one of a forked child ends that child.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        report(&panic.to_string());
        if std::process::id() == 1 {
            power_off();
        }
    }));
}

/// Writes what is cached and turns the machine off.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    let error = cofferdam_sys::system::power_off();
    report(&format!("power off: {error}"));
    // The end of PID 1 is a kernel panic, which ends the machine as well.
    std::process::exit(1)
}
