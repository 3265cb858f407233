//! Images made in memory, a registry that misbehaves on demand, and a service on a directory of its own.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part")]

pub mod image;
pub mod registry;

use std::path::Path;
use std::time::Duration;

use cofferdam_image::{Helper, ImageConfig, ImageService, Limits};

pub use image::{Image, Packed, Tar, image};
pub use registry::{Fault, Registry};

pub fn config(root: &Path) -> ImageConfig {
    ImageConfig {
        root: root.join("images"),
        registry_config_path: root.join("certs.d"),
        helper: Helper { program: env!("CARGO_BIN_EXE_cofferdam-unpack-helper").into(), args: Vec::new() },
        limits: Limits::default(),
        stall_timeout: Duration::from_secs(60),
        pinned: Vec::new(),
    }
}

pub fn open(root: &Path) -> ImageService {
    ImageService::open(config(root)).unwrap()
}

/// Files below a directory of the store.
pub fn files(root: &Path, dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("images").join(dir)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
