//! The fuzz targets: each reads bytes as an attacker may send them, and asserts what must hold whatever they are.
//!
//! cargo-fuzz runs them from `fuzz/fuzz_targets`, for as long as one likes; the test `corpora` runs each on its seeds,
//! on what was found before (`fuzz/corpus/NAME/*`) and on a fixed number of mutations of both, so that CI needs neither
//! luck nor time.

mod cluster;
mod configs;
mod guest;
mod image;
mod pod;
pub mod seeds;
mod spdy;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As `cargo fuzz run NAME` takes it; its corpus is `fuzz/corpus/NAME`.
    pub name: &'static str,
    /// Runs one input. Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Valid inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "pod_frames", run: pod::frames, seeds: seeds::pod_frames },
    Target { name: "exit_records", run: pod::exit_records, seeds: seeds::exit_records },
    Target { name: "spdy_frames", run: spdy::frames, seeds: seeds::spdy_frames },
    Target { name: "layer", run: image::layer, seeds: seeds::layers },
    Target { name: "image_manifest", run: image::manifest, seeds: seeds::manifests },
    Target { name: "image_config", run: image::config, seeds: seeds::configs },
    Target { name: "hosts_toml", run: image::hosts, seeds: seeds::hosts },
    Target { name: "cluster_objects", run: cluster::objects, seeds: seeds::cluster_objects },
    Target { name: "cri_configs", run: configs::configs, seeds: seeds::cri_configs },
    Target { name: "guest_messages", run: guest::messages, seeds: seeds::guest_messages },
];

/// Runs a target by its name.
///
/// # Panics
/// If there is none of that name, or as the target does.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no fuzz target {name}"));
    (target.run)(input);
}
