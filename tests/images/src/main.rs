//! The test images from the command line.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cofferdam_test_images::{Registry, archive, debian, push, recipes, storage};

const USAGE: &str = "usage:
  cofferdam-test-images storage                    make the registry's directory, print its path
  cofferdam-test-images serve NETNS|- PORT         serve it on 127.0.0.1:PORT until killed
  cofferdam-test-images push HOST:PORT             push all images
  cofferdam-test-images list                       names and digests
  cofferdam-test-images save oci|docker NAME REFERENCE FILE   write one image as a tar";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["storage"] => println!("{}", storage()?.display()),
        ["serve", netns, port] => {
            let netns = (*netns != "-").then(|| Path::new(netns));
            let registry = Registry::start_at(netns, &storage()?, port.parse().context("PORT")?)?;
            println!("{}", registry.addr());
            loop {
                std::thread::park();
            }
        }
        ["push", addr] => push::push(addr, &images()?)?,
        ["list"] => {
            for named in images()? {
                let digests: Vec<&str> = named.images.iter().map(|image| image.manifest.digest.as_str()).collect();
                println!("{}:{} {}", named.name, named.tag, digests.join(" "));
            }
        }
        ["save", format, name, reference, file] => {
            let images = images()?;
            let named = images.iter().find(|named| named.name == *name).with_context(|| format!("no image {name}"))?;
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

fn images() -> Result<Vec<recipes::Named>> {
    recipes::all(&debian::packages(&recipes::PACKAGES)?)
}
