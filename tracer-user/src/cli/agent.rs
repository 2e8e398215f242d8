//! `gotrace agent` traces every build on the machine until it is stopped. `gotrace storage-process` is its child, which takes the same
//! arguments. It is not for users, so no help shows it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::trace::Detail;
use super::{FAILURE, FINE};
use crate::agent;
use crate::config::log::LogSettings;
use crate::config::{Bound, File, Key, Layer, ListenAddress, PinDirectory, SizeBudget};
use crate::history::Location;
use crate::log::{self, Level, Log};

/// Trace every Go build on this machine and store the builds in a history
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Trace every Go build on this machine, of any user and in any container, and store the builds in a history for \
                  `gotrace builds` and `gotrace show`. The page /metrics, on a local port, contains metrics for Prometheus.\n\n\
                  Needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_LEASE; `gotrace doctor` lists missing ones. \
                  SIGHUP reloads the configuration. SIGTERM and SIGINT stop the agent within five seconds; all ended builds are stored \
                  before.\n\n\
                  A flag overrides an environment variable, such as GOTRACE_KEEP_DAYS for --keep-days, which overrides the \
                  configuration file. `gotrace config example` prints a file.",
    before_help = "Examples:\n  sudo gotrace agent\n  \
                   sudo gotrace agent --store /srv/gotrace/history.db --keep-days 30 --keep-megabytes 500"
)]
pub(super) struct Args {
    /// Configuration file [default: /etc/gotrace/gotrace.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "GOTRACE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
}

/// The settings that have a flag and an environment variable.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct SettingArgs {
    #[arg(
        long,
        value_name = "PLACE",
        env = "GOTRACE_STORE",
        hide_env_values = true,
        hide_env = true,
        help = "History: a file, or postgres://USER@HOST/DATABASE [default: /var/lib/gotrace/history.db]"
    )]
    store: Option<Location>,
    /// Level of detail of a trace [default: phase]
    #[arg(long, value_enum, env = "GOTRACE_DETAIL", hide_env = true)]
    detail: Option<Detail>,
    /// Address of the pages /metrics, /-/ready and /api/v1/builds, or unix:PATH, or none [default: 127.0.0.1:10127]
    #[arg(long, value_name = "ADDRESS", env = "GOTRACE_LISTEN", hide_env = true)]
    listen: Option<ListenAddress>,
    /// Delete builds older than DAYS; `unlimited` for no limit [default: 90]
    #[arg(long, value_name = "DAYS", env = "GOTRACE_KEEP_DAYS", hide_env = true)]
    keep_days: Option<Bound>,
    /// Delete the oldest builds while the history is larger than MB; `unlimited` for no limit [default: 1024]
    #[arg(
        long,
        value_name = "MB",
        env = "GOTRACE_KEEP_MEGABYTES",
        hide_env = true
    )]
    keep_megabytes: Option<Bound>,
    /// Remove the gauges of a target from /metrics HOURS after its last build; `unlimited` for never [default: 168]
    #[arg(
        long = "forget-targets",
        value_name = "HOURS",
        env = "GOTRACE_FORGET_TARGETS_HOURS",
        hide_env = true
    )]
    forget_targets_hours: Option<Bound>,
    /// Allowed growth of a target since its previous build, for an alert: +5%, +200KB [default: none]
    #[arg(
        long,
        value_name = "GROWTH",
        env = "GOTRACE_SIZE_BUDGET",
        hide_env = true
    )]
    size_budget: Option<SizeBudget>,
    /// Directory on bpffs, such as /sys/fs/bpf/gotrace; probes pinned there survive a killed agent [default: none]
    #[arg(long, value_name = "DIR", env = "GOTRACE_PIN", hide_env = true)]
    pin: Option<PinDirectory>,
    /// Least important messages of the log [default: info]
    #[arg(
        id = "log.level",
        long = "log-level",
        value_name = "LEVEL",
        env = "GOTRACE_LOG_LEVEL",
        hide_env = true,
        value_parser = PossibleValuesParser::new(Level::ALL.map(Level::name)).try_map(|it| it.parse::<Level>())
    )]
    log_level: Option<Level>,
    /// Format of the log on stderr [default: text]
    #[arg(
        id = "log.format",
        long = "log-format",
        value_name = "FORMAT",
        env = "GOTRACE_LOG_FORMAT",
        hide_env = true,
        value_parser = PossibleValuesParser::new(log::Format::ALL.map(log::Format::name)).try_map(|it| it.parse::<log::Format>())
    )]
    log_format: Option<log::Format>,
}

impl SettingArgs {
    /// The settings of flags and environment.
    pub(super) fn layer(&self) -> Layer {
        Layer {
            store: self.store.clone(),
            detail: self.detail.map(Into::into),
            listen: self.listen.clone(),
            keep_days: self.keep_days,
            keep_megabytes: self.keep_megabytes,
            forget_targets_hours: self.forget_targets_hours,
            size_budget: self.size_budget,
            pin: self.pin.clone(),
            log: Some(self.log()),
            ..Layer::default()
        }
    }

    /// The log that flags and environment set.
    fn log(&self) -> LogSettings {
        LogSettings {
            level: self.log_level,
            format: self.log_format,
        }
    }

    /// The configuration from flags, environment and file. An error names the place of the value.
    pub(super) fn load(&self, file: &File) -> anyhow::Result<agent::Config> {
        let layer = self.layer().over(Layer::of(file)?);
        let checked = layer.check();
        checked.map_err(|error| self.locate(file, error))?;
        Ok(agent::Config::of(layer))
    }

    /// Adds the place of the value that the error belongs to: a flag, or file and line.
    pub(super) fn locate(&self, file: &File, error: anyhow::Error) -> anyhow::Error {
        let flag = match error.downcast_ref() {
            Some(Key("store")) if self.store.is_some() => "--store or GOTRACE_STORE",
            Some(Key("listen")) if self.listen.is_some() => "--listen or GOTRACE_LISTEN",
            Some(Key(_)) | None => return file.locate(error),
        };
        error.context(flag)
    }
}

/// Runs the agent. `words` are the original arguments. Returns the exit code.
pub(super) fn execute(args: &Args, words: Vec<OsString>) -> anyhow::Result<u8> {
    // The file may change this.
    log::configure(args.settings.log().config(), "observer");
    let read = || Ok(File::read(args.config.as_deref())?);
    let load = |file: &File| args.settings.load(file);
    agent::observe(&read, &load, words, Log::stderr())?;
    Ok(FINE)
}

/// Runs the child of an agent with the same arguments. Returns the exit code.
pub(super) fn execute_storage(args: &Args) -> u8 {
    log::configure(args.settings.log().config(), "storage");
    let load = |file: &File| args.settings.load(file);
    let has_failed = agent::run_storage(&load, &Log::stderr());
    if has_failed { FAILURE } else { FINE }
}
