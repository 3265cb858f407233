//! The test images from the command line.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::{ImageSet, Named, Registry, SETS, archive, push, storage_of};

const USAGE: &str = "usage: cofferdam-test-images [--set SET] COMMAND     SET: base (default), critest, cluster
  storage                    make the registry's directory, print its path
  serve NETNS|- PORT         serve it on 127.0.0.1:PORT until killed
  push HOST:PORT             push all images
  list                       names and digests
  save oci|docker NAME REFERENCE FILE   write one image as a tar";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["--set", name, command @ ..] => run(set(name)?, command),
        command => run(set("base")?, command),
    }
}

fn set(name: &str) -> Result<&'static ImageSet> {
    SETS.into_iter().find(|set| set.name == name).with_context(|| format!("no set {name}\n{USAGE}"))
}

fn run(set: &ImageSet, command: &[&str]) -> Result<()> {
    match command {
        ["storage"] => println!("{}", storage_of(set)?.display()),
        ["serve", netns, port] => {
            let netns = (*netns != "-").then(|| Path::new(netns));
            let registry = Registry::start_at(netns, &storage_of(set)?, port.parse().context("PORT")?)?;
            println!("{}", registry.addr());
            loop {
                std::thread::park();
            }
        }
        ["push", addr] => push::push(addr, &set.images()?)?,
        ["list"] => {
            for named in set.images()? {
                let digests: Vec<&str> = named.images.iter().map(|image| image.manifest.digest.as_str()).collect();
                println!("{}:{} {}", named.name, named.tag, digests.join(" "));
            }
        }
        ["save", format, name, reference, file] => {
            let images = set.images()?;
            let named: &Named =
                images.iter().find(|named| named.name == *name).with_context(|| format!("no image {name}"))?;
            let out = File::create(file).with_context(|| (*file).to_owned())?;
            match *format {
                "oci" => archive::write_oci_layout(named, reference, out)?,
                "docker" => archive::write_docker_archive(named, reference, out)?,
                other => bail!("format {other} is neither oci nor docker"),
            }
        }
        _ => bail!("{USAGE}"),
    }
    Ok(())
}
