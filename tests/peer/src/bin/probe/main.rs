//! What a process finds around itself, as one line of JSON on standard output.
//!
//! ```text
//! probe see [stay] [syscalls]   everything but files; `stay` then waits to be stopped
//! probe tree DIRECTORY...       the files below the directories
//! probe exit CODE               ends with that code
//! probe signal NAME             ends by a signal: `kill`, `segv`, `abort`
//! probe eat                     takes memory until it is killed
//! ```

mod kernel;
mod mounts;
mod process;
mod tree;

use std::io::Write as _;

use serde_json::{Value, json};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["see", wishes @ ..] => {
            let mut seen = see();
            if wishes.contains(&"syscalls") {
                seen["syscalls"] = kernel::syscalls();
            }
            print(&seen);
            while wishes.contains(&"stay") {
                std::thread::park();
            }
        }
        ["tree", directories @ ..] => {
            let found = directories.iter().map(|dir| ((*dir).to_owned(), tree::below(dir))).collect();
            print(&Value::Object(found));
        }
        ["exit", code] => std::process::exit(code.parse().unwrap_or(99)),
        ["signal", name] => process::end_by(name),
        ["eat"] => process::eat(),
        _ => std::process::exit(98),
    }
}

/// One write, so that nothing else on the same output comes in between.
fn print(value: &Value) {
    let mut out = std::io::stdout().lock();
    let line = format!("{value}\n");
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(97);
    }
}

fn see() -> Value {
    json!({
        "process": process::describe(),
        "environment": process::environment(),
        "capabilities": process::capabilities(),
        "limits": process::limits(),
        "mounts": mounts::describe(),
        "dev": mounts::devices(),
        "places": mounts::places(),
        "masked": mounts::masked(),
        "sysctls": kernel::sysctls(),
        "files": kernel::files(),
        "attempts": kernel::attempts(),
    })
}
