//! `gotrace summary`: prints the builds of a job as Markdown.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use super::advise::PriceArgs;
use super::builds::own_layer;
use super::{FINE, log};
use crate::agent;
use crate::agent::local::LocalAgent;
use crate::config::{Layer, ListenAddress};
use crate::summary::{CiJob, JobAdvice, markdown};

/// Print the builds of a pipeline job as Markdown
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print the builds of a pipeline job as Markdown, for the page of the job, and advice over the last builds of its projects. The data comes from the agent on this machine, so \
                  every user who may connect to it can run this.\n\nIn a job of GitHub Actions no argument is needed. \
                  `gotrace install --runner-hooks` runs this after every job.",
    before_help = "Examples:\n  gotrace summary >> \"$GITHUB_STEP_SUMMARY\"\n  \
                   gotrace summary --run 17123456789"
)]
pub(super) struct Args {
    /// ID of the run
    #[arg(long, value_name = "ID", env = "GITHUB_RUN_ID", hide_env_values = true)]
    run: String,
    /// Only this attempt of the run
    #[arg(
        long,
        value_name = "N",
        env = "GITHUB_RUN_ATTEMPT",
        hide_env_values = true
    )]
    attempt: Option<String>,
    /// Only this job of the run
    #[arg(long, value_name = "NAME", env = "GITHUB_JOB", hide_env_values = true)]
    job: Option<String>,
    /// Only jobs of this runner
    #[arg(long, value_name = "NAME", env = "RUNNER_NAME", hide_env_values = true)]
    runner: Option<String>,
    /// Address of the agent's pages [default: the agent's, by its configuration]
    #[arg(long, value_name = "ADDRESS")]
    agent: Option<ListenAddress>,
    /// Maximum time to wait for the agent
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    timeout: u64,
    #[command(flatten)]
    price: PriceArgs,
}

/// The agent by environment and configuration, or at the default address if this user cannot read the configuration.
fn configured(listen: Option<ListenAddress>) -> anyhow::Result<LocalAgent> {
    let layer = own_layer().unwrap_or_default();
    let of_environment = std::env::var("GOTRACE_LISTEN").ok();
    let of_environment = of_environment.and_then(|it| it.parse().ok());
    let config = agent::Config::of(Layer {
        listen: listen.or(of_environment).or(layer.listen),
        http: layer.http,
        ..Layer::default()
    });
    let agent = LocalAgent::of(&config);
    agent.context("the agent has no pages: its configuration has listen = \"none\"")
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let job = CiJob {
        run: args.run.clone(),
        attempt: args.attempt.clone(),
        job: args.job.clone(),
        runner: args.runner.clone(),
    };
    let agent = configured(args.agent.clone())?;
    let timeout = Duration::from_secs(args.timeout);
    let builds = job.builds(&agent, timeout)?;
    let advice = JobAdvice::request(&builds, &agent, timeout).unwrap_or_else(|error| {
        // The builds alone are better than no page.
        log(format_args!("no advice: {:#}", anyhow::Error::from(error)));
        JobAdvice::default()
    });
    // Write the page at once, so that an interrupted command prints no partial table.
    let mut page = Vec::new();
    markdown::write(&builds, &mut page)?;
    markdown::write_advice(&advice, args.price.price(), &mut page)?;
    io::stdout().lock().write_all(&page)?;
    Ok(FINE)
}
