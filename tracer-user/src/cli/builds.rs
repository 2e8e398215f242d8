//! `gotrace builds`: lists the history, newest first.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use tracer_core::model::State;

use super::report;
use super::{Color, FINE, log};
use crate::clock;
use crate::config::{self, Layer};
use crate::history::{self, Filter, Location, TimeArg};
use crate::render::units;

/// List the builds of the history, newest first
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List the builds of the history, newest first.\n\n`gotrace agent` and `gotrace run --store` write the history. Listing it only \
                  needs the right to read its file.",
    before_help = "Examples:\n  gotrace builds\n  \
                   gotrace builds --project example.com/api --status failed --since 7d\n  \
                   gotrace builds --format jsonl --limit 500 | jq -r '[.started_at, .project, .wall_seconds] | @tsv'\n  \
                   gotrace builds --format csv --limit 0 > builds.csv",
    after_long_help = "A TIME is an age (90s, 30m, 2h, 7d, 2w) or a date in UTC (2026-11-20, 2026-11-20T14:05)."
)]
pub(super) struct Args {
    /// Only builds of this main module: its path, or the end of its path
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only builds with this output: import path of the main package, or path or name of the file
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only builds with this status
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<Ended>,
    /// Only builds of this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only builds on this machine
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only builds in this directory or below
    #[arg(long, value_name = "DIR")]
    dir: Option<String>,
    /// Only builds that started at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,
    /// Only builds that started before this time
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,
    /// Maximum number of builds; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    store: StoreArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// The location of the history.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct StoreArgs {
    #[arg(
        long,
        value_name = "PLACE",
        env = "GOTRACE_STORE",
        hide_env_values = true,
        hide_env = true,
        help = "History: a file, or postgres://USER@HOST/DATABASE [default: the agent's, by its configuration]"
    )]
    store: Option<Location>,
}

impl StoreArgs {
    /// The history that the flag, the environment or the configuration of the agent names.
    pub(super) fn location(&self) -> anyhow::Result<Location> {
        if let Some(location) = &self.store {
            return Ok(location.clone());
        }
        let configured = match own_layer() {
            // A user who may read the history need not be allowed to read the configuration, which can contain secrets.
            Err(config::Error::Unreadable { path, source })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                log(format_args!(
                    "{} cannot be read by this user: reading {}; --store or GOTRACE_STORE names another history",
                    path.display(),
                    history::DEFAULT_STORE
                ));
                Layer::default()
            }
            read => read.context("give the history with --store or GOTRACE_STORE")?,
        };
        let default = || Location::File(history::DEFAULT_STORE.into());
        Ok(configured.store.unwrap_or_else(default))
    }
}

/// The configuration file of the agent on this machine.
pub(super) fn own_layer() -> Result<Layer, config::Error> {
    let path = std::env::var_os("GOTRACE_CONFIG").map(PathBuf::from);
    Layer::read(path.as_deref())
}

/// Status of a build
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ended {
    Succeeded,
    Failed,
    /// Not ended yet
    Running,
    /// gotrace ended before the build
    CutOff,
    /// The exit was not observed
    Unknown,
}

/// Form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs, with a published schema; indented
    Json,
    /// One build a line, as in the field `builds` of `json`
    Jsonl,
    /// One build a line, for spreadsheets
    Csv,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let now = clock::wall_ns();
    let filter = Filter {
        project: args.project.clone(),
        target: args.target.clone(),
        state: args.status.map(State::from),
        branch: args.branch.clone(),
        host: args.host.clone(),
        dir: args.dir.clone(),
        since_ns: args.since.map(|it| it.at(now)),
        until_ns: args.until.map(|it| it.at(now)),
        limit: (args.limit > 0).then_some(args.limit),
        ..Filter::default()
    };
    let (entries, has_more) = args.store.location()?.read(|it| it.list(&filter))?;
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match args.format {
        Format::Text if entries.is_empty() => log("no build in the history matches"),
        Format::Text => history::list(&entries, now, &style, &mut out)?,
        Format::Json => history::builds_json(&entries, has_more, &mut out)?,
        Format::Jsonl => history::builds_json_lines(&entries, &mut out)?,
        Format::Csv => history::builds_csv(&entries, &mut out)?,
    }
    out.flush()?;
    // The JSON document has a field for this.
    if has_more && args.format != Format::Json {
        log(format_args!(
            "showing the last {} (--limit N shows more, `gotrace show ID` shows one in full)",
            units::counted(entries.len() as u64, "build", "builds")
        ));
    }
    Ok(FINE)
}

impl From<Ended> for State {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Succeeded => Self::Succeeded,
            Ended::Failed => Self::Failed,
            Ended::Running => Self::Running,
            Ended::CutOff => Self::CutOff,
            Ended::Unknown => Self::Unknown,
        }
    }
}
