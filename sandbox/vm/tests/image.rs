//! Building a guest image from a real kernel package.

use cofferdam_test_support::{guest_kernel_package, needs};
use cofferdam_vm::image::{BuildConfig, KernelSource, build, find};

#[needs(network)]
#[test]
fn an_image_is_built_once_and_again_only_for_another_agent() {
    let package = guest_kernel_package().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("agent");
    std::fs::write(&agent, "first").unwrap();
    let config = BuildConfig {
        image_dir: dir.path().join("images"),
        kernel: KernelSource::Package(package),
        agent: agent.clone(),
        cache: dir.path().join("cache"),
    };
    let missing = find(&config.image_dir).unwrap_err().to_string();
    assert!(missing.contains("cofferdam vm-image build"), "{missing}");
    let first = build(&config).unwrap();
    assert!(!first.cached);
    let modules = &first.image.manifest.modules;
    let position = |name: &str| modules.iter().position(|module| module == name).unwrap();
    assert!(position("virtio_ring") < position("virtio_pci") && position("fuse") < position("virtiofs"), "{modules:?}");
    assert!(build(&config).unwrap().cached);
    std::fs::write(&agent, "second").unwrap();
    let second = build(&config).unwrap();
    assert!(!second.cached && second.image.kernel != first.image.kernel && !first.image.kernel.exists());
    std::fs::write(&second.image.initramfs, "cut").unwrap();
    let damaged = find(&config.image_dir).unwrap_err().to_string();
    assert!(damaged.contains("its manifest says"), "{damaged}");
}
