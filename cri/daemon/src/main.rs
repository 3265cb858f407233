//! `cofferdam`: the daemon, and its command line.

mod admin;
mod cli;
mod config;
mod daemon;
mod serve;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;
use cli::Cli;

fn main() -> ExitCode {
    // Before any thread and any signal handler: the children that the daemon makes of its own program are other
    // programs.
    if let Some(code) = serve::reexec(std::env::args_os().skip(1)) {
        return code;
    }
    match Cli::parse().plan() {
        cli::Plan::Serve(args) => {
            let daemon = async { serve::run(args).await.map(|()| 0) };
            run(tokio::runtime::Builder::new_multi_thread(), daemon)
        }
        cli::Plan::Client(command) => {
            let client = async { Ok(command.run().await?) };
            run(tokio::runtime::Builder::new_current_thread(), client)
        }
    }
}

fn run(mut runtime: tokio::runtime::Builder, work: impl Future<Output = anyhow::Result<u8>>) -> ExitCode {
    let result = runtime.enable_all().build().map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(work);
        // A read of standard input cannot be cancelled, and is no reason to stay.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("cofferdam: {error:#}");
            ExitCode::FAILURE
        }
    }
}
