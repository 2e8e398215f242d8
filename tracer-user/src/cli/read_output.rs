//! `gotrace read-output`: gotrace as the child of itself that reads one output. Not for people, so no help shows it.

use crate::inspect::child::{self, Task};

/// Read one output behind walls: started by gotrace itself
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bytes of the file that is standard input
    size: u64,
    /// The SHA-256 of a content to be taken apart
    sha256: Option<String>,
}

/// Returns the exit code.
pub(super) fn execute(args: Args) -> u8 {
    let Args { size, sha256 } = args;
    let task = sha256.map_or(Task::Identity, |sha256| Task::Anatomy { sha256 });
    child::run(&task, size)
}
