//! Real VMs, by the VMM alone: what a guest sees, what QEMU may, what a guest that does not boot leaves behind.
//!
//! Without libtest: the VMM forks, and a process with threads must not.

#[path = "boot/world.rs"]
mod world;

use std::time::Duration;

use world::{World, until};

fn main() {
    let Some(mut world) = World::new() else { return };
    a_guest_boots_and_sees_what_is_mounted_later(&mut world);
    a_guest_without_init_ends_at_once_and_its_console_says_why(&mut world);
    println!("test result: ok");
}

fn a_guest_boots_and_sees_what_is_mounted_later(world: &mut World) {
    let mut vm = world.boot(&world.init(), 128);
    until(Duration::from_secs(60), "guest up", || vm.console().contains("DONE"));
    println!("{}\n{}", vm.console(), vm.messages());
    vm.stop();
}

fn a_guest_without_init_ends_at_once_and_its_console_says_why(world: &mut World) {
    let mut vm = world.boot(std::path::Path::new("/etc/hostname"), 128);
    until(Duration::from_secs(60), "the end", || vm.ended());
    println!("{}\n{}", vm.console(), vm.messages());
    vm.stop();
}
