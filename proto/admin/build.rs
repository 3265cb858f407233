//! Compiles `proto/cofferdam/admin/v1/admin.proto`, without protoc, to messages, client and server.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["cofferdam/admin/v1/admin.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
