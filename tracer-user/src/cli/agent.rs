//! `gotrace agent`: every build on the machine, for as long as it runs. And `gotrace storage-process`, its child, which takes the same
//! arguments and is not for people, so no help shows it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::trace::Detail;
use super::{FAILURE, FINE, say};
use crate::agent;
use crate::config::{Bound, File, Layer, Listen, Pin, SizeBudget};
use crate::history::Place;

/// Follow every Go build on this machine and keep its history
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Follow every Go build on this machine, whoever runs it and in whatever container, and keep its history for \
                  `gotrace builds` and `gotrace show`. Metrics for Prometheus are at /metrics on a port of this machine alone.\n\n\
                  Needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_LEASE; `gotrace doctor` says what is missing. \
                  Reads its configuration again on SIGHUP. Ends on SIGTERM and SIGINT, within five seconds, with all builds stored that \
                  were over.\n\n\
                  What no flag says is taken from the variable GOTRACE_KEEP_DAYS for --keep-days and so on, then from the \
                  configuration file; `gotrace config example` prints one.",
    before_help = "  sudo gotrace agent\n  \
                   sudo gotrace agent --store /srv/gotrace/history.db --keep-days 30 --keep-megabytes 500"
)]
pub(super) struct Args {
    /// Configuration file [default: /etc/gotrace/gotrace.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "GOTRACE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    #[arg(
        long,
        value_name = "PLACE",
        env = "GOTRACE_STORE",
        hide_env_values = true,
        hide_env = true,
        help = "The history: a file, or postgres://USER@HOST/DATABASE [default: /var/lib/gotrace/history.db]"
    )]
    store: Option<Place>,
    /// How much to see of a build [default: phase]
    #[arg(long, value_enum, env = "GOTRACE_DETAIL", hide_env = true)]
    detail: Option<Detail>,
    /// Where /metrics, /-/ready and /api/v1/builds are; `none` for nowhere [default: 127.0.0.1:10127]
    #[arg(long, value_name = "ADDRESS", env = "GOTRACE_LISTEN", hide_env = true)]
    listen: Option<Listen>,
    /// Builds older than this are deleted; `unlimited` for no limit [default: 90]
    #[arg(long, value_name = "DAYS", env = "GOTRACE_KEEP_DAYS", hide_env = true)]
    keep_days: Option<Bound>,
    /// The oldest builds are deleted while the history is larger; `unlimited` for no limit [default: 1024]
    #[arg(
        long,
        value_name = "MB",
        env = "GOTRACE_KEEP_MEGABYTES",
        hide_env = true
    )]
    keep_megabytes: Option<Bound>,
    /// Gauges of a target vanish from /metrics when it has not been built for so long; `unlimited` for never [default: 168]
    #[arg(
        long = "forget-targets",
        value_name = "HOURS",
        env = "GOTRACE_FORGET_TARGETS_HOURS",
        hide_env = true
    )]
    forget_targets_hours: Option<Bound>,
    /// How much larger than before a target may be, for an alert: +5%, +200KB [default: not said]
    #[arg(
        long,
        value_name = "GROWTH",
        env = "GOTRACE_SIZE_BUDGET",
        hide_env = true
    )]
    size_budget: Option<SizeBudget>,
    /// Directory on bpffs, such as /sys/fs/bpf/gotrace, where all stays on for the next agent when this one is killed [default: none]
    #[arg(long, value_name = "DIR", env = "GOTRACE_PIN", hide_env = true)]
    pin: Option<Pin>,
}

impl Args {
    /// What flags and environment say.
    fn layer(&self) -> Layer {
        Layer {
            store: self.store.clone(),
            detail: self.detail.map(Into::into),
            listen: self.listen,
            keep_days: self.keep_days,
            keep_megabytes: self.keep_megabytes,
            forget_targets_hours: self.forget_targets_hours,
            size_budget: self.size_budget,
            pin: self.pin.clone(),
            ..Layer::default()
        }
    }

    /// What is to be done, of flags, environment and file.
    fn load(&self, file: &File) -> anyhow::Result<agent::Config> {
        Ok(agent::Config::of(self.layer().over(Layer::of(file)?)))
    }
}

/// `words`: what these arguments were made of. Returns the exit code.
pub(super) fn execute(args: &Args, words: Vec<OsString>) -> anyhow::Result<u8> {
    let read = || Ok(File::read(args.config.as_deref())?);
    agent::observe(&read, &|file| args.load(file), words, |sentence| {
        say(sentence);
    })?;
    Ok(FINE)
}

/// As the child of an agent with the same arguments. Returns the exit code.
pub(super) fn execute_storage(args: &Args) -> u8 {
    let has_failed = agent::run_storage(&|file| args.load(file), |sentence| say(sentence));
    if has_failed { FAILURE } else { FINE }
}
