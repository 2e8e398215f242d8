//! `gotrace itself` does nothing. The agent runs it to check that its probes deliver records (`driver::self_test`).

use super::FINE;

/// Do nothing; used by the self-test of the agent
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Distinguishes this child from those of other agents
    token: String,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> u8 {
    let Args { token: _ } = args;
    FINE
}
