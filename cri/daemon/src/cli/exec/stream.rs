//! Driving an exec's session: input, output, the terminal's size, the end.

use std::io::Read as _;

use bytes::Bytes;
use cofferdam_streaming::spdy::Decoder;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::session::{Event, Session};
use super::terminal;
use super::upgrade::Connection;
use crate::cli::error::CliError;

/// Runs it to its end: the exit code.
pub async fn run(mut connection: Connection, stdin: bool, tty: bool) -> Result<i32, CliError> {
    let failed = |e: std::io::Error| CliError::Other(format!("streaming connection: {e}"));
    let mut session = Session::start(stdin, tty);
    let mut decoder = Decoder::default();
    let mut input = stdin.then(read_stdin);
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    if let Some(size) = terminal::size().filter(|_| tty) {
        session.resize(size);
    }
    loop {
        while let Some(frame) = decoder.decode(&mut connection.rest).map_err(|e| failed(std::io::Error::other(e)))? {
            match session.frame(frame) {
                Some(Event::Ended(status)) => return exit_code(&status),
                Some(Event::Stdout(bytes)) => write(std::io::stdout(), &bytes)?,
                Some(Event::Stderr(bytes)) => write(std::io::stderr(), &bytes)?,
                None => {}
            }
        }
        connection.io.write_all(&session.out).await.map_err(failed)?;
        session.out.clear();
        let wants = session.wants_input();
        tokio::select! {
            read = connection.io.read_buf(&mut connection.rest) => {
                if read.map_err(failed)? == 0 {
                    return Err(CliError::Other("streaming connection: ended before the command".into()));
                }
            }
            Some(bytes) = next(&mut input), if wants => session.input(bytes),
            _ = resized.recv(), if tty => {
                if let Some(size) = terminal::size() {
                    session.resize(size);
                }
            }
        }
    }
}

fn write(mut to: impl std::io::Write, bytes: &[u8]) -> Result<(), CliError> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|e| CliError::Output(e.to_string()))
}

async fn next(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    input.as_mut()?.recv().await
}

/// Reads standard input in a thread of its own, which ends with this program; an empty piece is the end.
fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (to, input) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            // What cannot be read has ended.
            let read = std::io::stdin().read(&mut buffer).unwrap_or(0);
            if to.blocking_send(Bytes::copy_from_slice(&buffer[..read])).is_err() || read == 0 {
                return;
            }
        }
    });
    input
}

/// Of Kubernetes' `metav1.Status`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    status: String,
    message: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

fn exit_code(status: &[u8]) -> Result<i32, CliError> {
    let status: Status = serde_json::from_slice(status)
        .map_err(|_| CliError::Other("streaming connection: the command's end was not told".into()))?;
    if status.status == "Success" {
        return Ok(0);
    }
    let code = status.details.causes.iter().find(|c| c.reason == "ExitCode").and_then(|c| c.message.parse().ok());
    code.ok_or(CliError::Other(status.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_the_exit_code_or_an_error() {
        assert_eq!(exit_code(br#"{"metadata":{},"status":"Success"}"#).unwrap(), 0);
        let failure = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        assert_eq!(exit_code(failure).unwrap(), 3);
        let error = exit_code(br#"{"status":"Failure","message":"no such file"}"#).unwrap_err();
        assert_eq!(error.to_string(), "no such file");
        assert!(exit_code(b"").is_err());
    }
}
