//! `gotrace builds`: the history, newest first.

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use tracer_core::model::State;

use super::report::{self, Format};
use super::{Color, FINE, say};
use crate::clock;
use crate::history::{self, Filter, Location, TimeArg};

/// List the builds of the history, newest first
#[derive(Debug, clap::Args)]
#[command(
    long_about = "List the builds of the history, newest first.\n\nThe history is what `gotrace run --store` keeps. Reading it takes \
                  the right to read the file, and no other.",
    before_help = "  gotrace builds\n  \
                   gotrace builds --project example.com/api --status failed --since 7d\n  \
                   gotrace builds --format json --limit 500 | jq '.builds[].targets[].size'",
    after_long_help = "Times are ages (90s, 30m, 2h, 7d, 2w) or dates in UTC (2026-11-20, 2026-11-20T14:05)."
)]
pub(super) struct Args {
    /// Only builds of this main module: its path, or the end of it
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only builds with this output: import path of the main package, path or name of the file
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only builds that ended so
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<Ended>,
    /// Only builds of this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only builds that started at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,
    /// Only builds that started before this time
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,
    /// At most so many; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    store: Store,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// Where the history is.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Store {
    #[arg(
        long,
        value_name = "PLACE",
        default_value = history::DEFAULT_STORE,
        help = "The history: a file, or postgres://USER@HOST/DATABASE"
    )]
    pub(super) store: Location,
}

/// How a build ended
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ended {
    Succeeded,
    Failed,
    /// Not yet
    Running,
    /// gotrace itself ended before
    CutOff,
    /// Its exit was not seen
    Unknown,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let now = clock::wall_ns();
    let filter = Filter {
        project: args.project.clone(),
        target: args.target.clone(),
        state: args.status.map(State::from),
        branch: args.branch.clone(),
        since_ns: args.since.map(|it| it.at(now)),
        until_ns: args.until.map(|it| it.at(now)),
        limit: (args.limit > 0).then_some(args.limit),
    };
    let (entries, has_more) = args.store.store.read(|it| it.list(&filter))?;
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match args.format {
        Format::Text if entries.is_empty() => say("no such build in the history"),
        Format::Text => history::list(&entries, now, &style, &mut out)?,
        Format::Json => history::builds_json(&entries, has_more, &mut out)?,
    }
    out.flush()?;
    if has_more && args.format == Format::Text {
        say(format_args!(
            "these are the last {}: --limit shows more, `gotrace show ID` all of one",
            entries.len()
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
