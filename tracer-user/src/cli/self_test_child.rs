//! `gotrace itself`: nothing. The agent runs it to see whether it sees (`driver::self_test`).

use super::FINE;

/// Do nothing, successfully
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tells this child from those of others
    token: String,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> u8 {
    let Args { token: _ } = args;
    FINE
}
