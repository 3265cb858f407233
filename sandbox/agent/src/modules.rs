//! The kernel modules of the initramfs, loaded in the order of their names (`NN-NAME.ko`).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use cofferdam_sys::system::load_module;

use crate::error::BootError;

const DIR: &str = "/modules";

/// Loads them all, and gives their files' memory back.
pub(crate) fn load_all() -> Result<(), BootError> {
    for path in list(Path::new(DIR)).map_err(BootError::at(format!("list {DIR}")))? {
        let load = || -> io::Result<()> {
            load_module(File::open(&path)?.as_fd())?;
            fs::remove_file(&path)
        };
        load().map_err(BootError::at(format!("load the module {}", path.display())))?;
    }
    Ok(())
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ko"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    #[test]
    fn modules_are_in_load_order_and_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10-virtiofs.ko", "02-virtio.ko", "README", "01-virtio_ring.ko"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> = super::list(dir.path()).unwrap();
        let names: Vec<_> = names.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["01-virtio_ring.ko", "02-virtio.ko", "10-virtiofs.ko"]);
    }
}
