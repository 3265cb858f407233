//! `logs`: a container's log, read from its file: it is on this node, and its format is fixed.

mod follow;
mod line;

use std::collections::VecDeque;
use std::io::BufRead as _;
use std::path::PathBuf;

use clap::Args;

use self::line::Line;
use super::connect::Clients;
use super::error::CliError;
use super::target::{PodName, container, container_status};

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct Command {
    /// The pod
    #[arg(value_name = "NS/POD")]
    pod: PodName,
    /// Which container, if the pod has several
    #[arg(short, long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Go on until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
}

/// Runs it. Standard output and error of the container are those of this program.
pub async fn run(mut clients: Clients, command: Command) -> Result<u8, CliError> {
    let found = container(&mut clients, &command.pod, command.container.as_deref()).await?;
    let status = container_status(&mut clients, &found.id).await?;
    if status.log_path.is_empty() {
        return Err(CliError::Other(format!("container {} keeps no log", found.id)));
    }
    let path = PathBuf::from(status.log_path);
    let file = std::fs::File::open(&path).map_err(CliError::io(&path))?;
    let mut reader = std::io::BufReader::new(file);
    let mut last = VecDeque::new();
    let mut text = Vec::new();
    // A line without its end is being written: the rest is read with it.
    while reader.read_until(b'\n', &mut text).map_err(CliError::io(&path))? > 0 && text.ends_with(b"\n") {
        match command.tail {
            None => Line::parse(&text).write()?,
            Some(most) => push_line(&mut last, std::mem::take(&mut text), most),
        }
        text.clear();
    }
    last.iter().try_for_each(|text| Line::parse(text).write())?;
    if command.follow {
        follow::follow(&mut clients, &found.id, &path, reader, text).await?;
    } else if !text.is_empty() {
        Line::parse(&text).write()?;
    }
    Ok(0)
}

/// Adds a line and drops the oldest over `most`; parts of one long line count as one, and so do those at the end whose
/// newline has not come, or never will.
fn push_line(last: &mut VecDeque<Vec<u8>>, text: Vec<u8>, most: usize) {
    last.push_back(text);
    let partial = |text: &Vec<u8>| Line::parse(text).partial;
    let lines = |texts: &VecDeque<Vec<u8>>| {
        texts.iter().filter(|text| !partial(text)).count() + usize::from(texts.back().is_some_and(partial))
    };
    while lines(last) > most {
        while last.pop_front().is_some_and(|text| Line::parse(&text).partial) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_counts_lines_and_not_their_parts() {
        let mut last = VecDeque::new();
        for text in ["t stdout F one\n", "t stdout P tw\n", "t stdout F o\n", "t stdout F three\n"] {
            push_line(&mut last, text.as_bytes().to_vec(), 2);
        }
        let all: Vec<String> = last.iter().map(|t| String::from_utf8_lossy(Line::parse(t).text).into_owned()).collect();
        assert_eq!(all, ["tw", "o", "three"]);
        push_line(&mut last, b"t stdout P no newline\n".to_vec(), 2);
        let all: Vec<String> = last.iter().map(|t| String::from_utf8_lossy(Line::parse(t).text).into_owned()).collect();
        assert_eq!(all, ["three", "no newline"]);
        for text in ["t stdout F x\n", "t stdout P x\n"] {
            push_line(&mut last, text.as_bytes().to_vec(), 0);
            assert!(last.is_empty());
        }
    }
}
