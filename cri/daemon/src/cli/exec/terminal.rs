//! The terminal that this program runs in.

use std::os::fd::BorrowedFd;

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::cli::error::CliError;

/// While it lives keys go to the command as they are typed.
pub struct Raw(Termios);

impl Raw {
    /// `None`: standard input is no terminal.
    pub fn enter() -> Result<Option<Self>, CliError> {
        let failed = |e: rustix::io::Errno| CliError::Other(format!("terminal: {e}"));
        let terminal: BorrowedFd<'static> = stdin();
        if !isatty(terminal) {
            return Ok(None);
        }
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Raw(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone away needs no setting back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Its size as the resize stream has it; `None`: there is no terminal.
pub fn size() -> Option<String> {
    let size = tcgetwinsize(stdin()).ok().filter(|s| s.ws_col > 0)?;
    Some(serde_json::json!({"Width": size.ws_col, "Height": size.ws_row}).to_string())
}
