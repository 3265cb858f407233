//! A file's YAML documents, and errors that name their file and line.

use serde::de::DeserializeOwned;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct FileError {
    /// The file as the user knows it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// One YAML document with its place.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The file as the user knows it.
    pub file: &'a str,
    /// The document's first line in the file, from 1.
    pub line: u64,
    /// The document.
    pub text: &'a str,
}

impl Document<'_> {
    /// Whether it holds nothing but blank lines and comments.
    pub fn is_blank(&self) -> bool {
        self.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    }

    /// An error in this line of the file.
    pub fn error(&self, line: u64, reason: String) -> FileError {
        FileError { file: self.file.to_owned(), line, reason }
    }

    /// The document as a value.
    ///
    /// # Errors
    /// What does not fit the type, with its line.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        serde_saphyr::from_str(self.text).map_err(|e| {
            let line = e.location().map_or(self.line, |l| self.line + l.line().saturating_sub(1));
            let reason = e.without_snippet().to_string();
            self.error(line, reason)
        })
    }

    /// An error of a field, such as `spec.ingress[0].ports`. Its line is the first that has the key of the path's last
    /// part.
    pub fn field_error(&self, path: &str, reason: &str) -> FileError {
        let last = path.rsplit('.').next().unwrap_or(path);
        let key = format!("{}:", last.split('[').next().unwrap_or(last));
        let line = self.text.lines().position(|l| l.contains(&key)).map_or(self.line, |n| self.line + n as u64);
        self.error(line, if path.is_empty() { reason.to_owned() } else { format!("{path}: {reason}") })
    }
}

/// The documents of a file with their first lines. A line `---` begins one; inside a block scalar it would be indented.
pub fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut found = Vec::new();
    let (mut start, mut first, mut offset) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            found.push((first, &text[start..offset]));
            (start, first) = (offset + line.len(), number + 1);
        }
        offset += line.len();
    }
    found.push((first, &text[start..]));
    found
}
