//! `gotrace agent`: every build on the machine, for as long as it runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::trace::Detail;
use super::{FINE, say};
use crate::agent;
use crate::history::DEFAULT_STORE;
use tracer_core::history::Limits;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// Follow every Go build on this machine and keep its history
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Follow every Go build on this machine, whoever runs it and in whatever container, and keep its history for \
                  `gotrace builds` and `gotrace show`. Metrics for Prometheus are at /metrics on a port of this machine alone.\n\n\
                  Needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; `gotrace doctor` says what is missing. \
                  Ends on SIGTERM and SIGINT, within five seconds, with all builds stored that were over.",
    before_help = "  sudo gotrace agent\n  \
                   sudo gotrace agent --store /srv/gotrace/history.db --keep-days 30 --keep-megabytes 500"
)]
pub(super) struct Args {
    /// The history
    #[arg(long, value_name = "PATH", default_value = DEFAULT_STORE)]
    store: PathBuf,
    /// How much to see of a build
    #[arg(long, value_enum, default_value_t = Detail::Phase)]
    detail: Detail,
    /// Where /metrics, /-/ready and /api/v1/builds are; `none` for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10127", value_parser = listen)]
    listen: Listen,
    /// Builds older than this are thrown away
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    keep_days: u32,
    /// The oldest builds are thrown away while the history is larger
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    keep_megabytes: u32,
    /// Gauges of a target vanish from /metrics when it has not been built for so long
    #[arg(long, value_name = "HOURS", default_value_t = 7 * 24)]
    forget_targets: u32,
}

/// An address, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen(Option<SocketAddr>);

fn listen(text: &str) -> Result<Listen, String> {
    if text == "none" {
        return Ok(Listen(None));
    }
    text.parse().map(|it| Listen(Some(it))).map_err(|_| {
        "give an address and a port, such as 127.0.0.1:10127 or [::1]:10127, or none".to_owned()
    })
}

/// Returns the exit code.
pub(super) fn execute(args: Args) -> anyhow::Result<u8> {
    let Args {
        store,
        detail,
        keep_days,
        keep_megabytes,
        listen: Listen(listen),
        forget_targets,
    } = args;
    let config = agent::Config {
        store,
        detail: detail.into(),
        limits: Limits {
            max_age_ns: Some(u64::from(keep_days) * DAY_NS),
            max_bytes: Some(u64::from(keep_megabytes) * 1_000_000),
        },
        listen,
        target_ttl: Duration::from_hours(u64::from(forget_targets)),
    };
    agent::run(&config, |sentence| say(sentence))?;
    Ok(FINE)
}
