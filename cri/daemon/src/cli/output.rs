//! Tables for people, JSON and YAML for programs.

use std::io::Write as _;

use chrono::{DateTime, SecondsFormat};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use serde::Serialize;

use super::error::CliError;

/// How something is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

/// Of commands that show something.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Something that has a table and a structured form.
pub trait Show: Serialize {
    /// What people see.
    fn text(&self) -> String;
}

/// Prints it; a reader that has gone away (`| head`) is no error.
///
/// # Errors
/// Standard output cannot be written.
pub fn show(value: &impl Show, format: Format) -> Result<u8, CliError> {
    print(&render(value, format)?)?;
    Ok(0)
}

fn render(value: &impl Show, format: Format) -> Result<String, CliError> {
    match format {
        Format::Table => Ok(value.text()),
        Format::Json => serde_json::to_string_pretty(value).map_err(|e| CliError::Output(e.to_string())),
        Format::Yaml => serde_saphyr::to_string(value).map_err(|e| CliError::Output(e.to_string())),
    }
}

/// Prints a text and the end of its last line.
///
/// # Errors
/// As [`show`].
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|e| CliError::Output(e.to_string())),
    }
}

/// A table without lines, as kubectl's.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// RFC 3339, of nanoseconds since the epoch.
pub fn time(nanoseconds: i64) -> String {
    DateTime::from_timestamp_nanos(nanoseconds).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// How long ago, roughly.
pub fn age(nanoseconds: i64) -> String {
    let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(nanoseconds);
    let seconds = now.saturating_sub(nanoseconds) / 1_000_000_000;
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// Bytes in binary units.
pub fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The first characters of an id.
pub fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Lines(Vec<String>);

    impl Show for Lines {
        fn text(&self) -> String {
            self.0.join("\n")
        }
    }

    #[test]
    fn a_table_has_no_empty_cells_and_no_lines() {
        let text = table(&["NAME", "NODE"], [vec!["a".into(), String::new()]]);
        assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), ["NAME  NODE", "a     -"]);
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let lines = Lines(vec!["a: b".into()]);
        let yaml: Vec<String> = serde_saphyr::from_str(&render(&lines, Format::Yaml).unwrap()).unwrap();
        let json: Vec<String> = serde_json::from_str(&render(&lines, Format::Json).unwrap()).unwrap();
        assert_eq!((yaml, json), (vec!["a: b".to_owned()], vec!["a: b".to_owned()]));
    }
}
