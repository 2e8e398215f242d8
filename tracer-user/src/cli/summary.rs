//! `gotrace summary`: what a job built, as Markdown.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use super::FINE;
use crate::summary::{CiJob, markdown};

/// Print what a job of a pipeline built as Markdown
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print what a job of a pipeline built as Markdown, for the page of the job. The agent on this machine is asked, so \
                  whoever may connect to it can do this.\n\nIn a job of GitHub Actions it is that job's builds, without any argument; \
                  `gotrace install --runner-hooks` has it done after every job.",
    before_help = "  gotrace summary >> \"$GITHUB_STEP_SUMMARY\"\n  \
                   gotrace summary --run 17123456789"
)]
pub(super) struct Args {
    /// Number of the run
    #[arg(long, value_name = "ID", env = "GITHUB_RUN_ID", hide_env_values = true)]
    run: String,
    /// Only this attempt at it
    #[arg(
        long,
        value_name = "N",
        env = "GITHUB_RUN_ATTEMPT",
        hide_env_values = true
    )]
    attempt: Option<String>,
    /// Only this job of it
    #[arg(long, value_name = "NAME", env = "GITHUB_JOB", hide_env_values = true)]
    job: Option<String>,
    /// Only what this runner ran
    #[arg(long, value_name = "NAME", env = "RUNNER_NAME", hide_env_values = true)]
    runner: Option<String>,
    /// Where the agent's pages are
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10127")]
    agent: SocketAddr,
    /// How long to wait for the agent
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    timeout: u64,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let job = CiJob {
        run: args.run.clone(),
        attempt: args.attempt.clone(),
        job: args.job.clone(),
        runner: args.runner.clone(),
    };
    let builds = job.builds(args.agent, Duration::from_secs(args.timeout))?;
    // At once: whoever is stopped in the middle leaves nothing, and not half a table.
    let mut page = Vec::new();
    markdown::write(&builds, &mut page)?;
    io::stdout().lock().write_all(&page)?;
    Ok(FINE)
}
