//! Container logs in the format that kubelet reads.

mod file;
mod line;
mod time;

pub(crate) use file::LogFile;
