//! PID 1 of the guest: runs the containers of a VM pod.
//!
//! ```text
//! kernel -> boot (mounts, cgroups, modules, ports) -> serve -> Setup (host name, network, clock...)
//!        -> containers -> Stop -> power off
//! ```
//! Whatever ends it, a reason is on the console and the machine is off: nobody else could tell why a guest hangs.

mod boot;
mod console;
mod controllers;
mod error;
mod modules;
mod ports;
mod setup;

use std::time::Instant;

use cofferdam_pod_api::{CONTROL_PORT, DATA_PORT};
use cofferdam_supervisor::{End, serve_ports};

use crate::error::BootError;

fn main() {
    // Started by hand on some machine it must not mount over it, nor turn it off.
    if std::process::id() != 1 {
        eprintln!("cofferdam-agent is the first process of a guest; it does nothing elsewhere");
        std::process::exit(2);
    }
    console::report_panics();
    match run() {
        Ok(End::Stopped) => {}
        Ok(End::Gone(reason) | End::Failed(reason)) => console::report(&reason),
        Err(error) => console::report(&error.to_string()),
    }
    console::power_off();
}

fn run() -> Result<End, BootError> {
    let start = Instant::now();
    boot::mounts()?;
    let mounted = start.elapsed();
    controllers::prepare()?;
    let grouped = start.elapsed();
    let events = ports::Events::open()?;
    modules::load_all()?;
    let loaded = start.elapsed();
    let [control, data] = ports::open(&events, [CONTROL_PORT, DATA_PORT])?;
    drop(events);
    let ready = start.elapsed();
    console::note(&format!(
        "mounts {mounted:?}, cgroups {grouped:?}, modules {loaded:?}, ready {ready:?} after its start"
    ));
    Ok(serve_ports(control, data, Box::new(setup::ThisGuest::default())))
}
