//! `gotrace read-output`: the sandboxed child of gotrace that reads one output. It is not for users, so no help shows it.

use crate::inspect::child::{self, Task};

/// Read one output in a sandbox; used by gotrace itself
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Size in bytes of the file on standard input
    size: u64,
    /// SHA-256 of the content to analyse
    sha256: Option<String>,
}

/// Returns the exit code.
pub(super) fn execute(args: Args) -> u8 {
    let Args { size, sha256 } = args;
    let task = sha256.map_or(Task::Identity, |sha256| Task::Anatomy { sha256 });
    child::run(&task, size)
}
