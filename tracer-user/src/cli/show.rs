//! `gotrace show`: prints one build of the history.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use tracer_core::history::IdPrefix;

use super::builds::StoreArgs;
use super::report::{self, Format};
use super::{Color, FINE};
use crate::clock;
use crate::history;

/// Show one build of the history
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show one build of the history: the summary of `gotrace run`, its origin, and a comparison of its outputs with the \
                  previous ones.",
    before_help = "Examples:\n  gotrace show 019ab12f-3c44\n  \
                   gotrace show --format json 019ab12f-3c44 | jq .summary"
)]
pub(super) struct Args {
    /// ID of the build as in `gotrace builds`, or its beginning
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let prefix: IdPrefix = args
        .id
        .parse()
        .with_context(|| format!("`{}` is not the ID of a build", args.id))?;
    let shown = args.store.location()?.read(|it| it.show(&prefix))?;
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match args.format.layout() {
        None => history::show(&shown, clock::wall_ns(), &style, &mut out)?,
        Some(layout) => history::show_json(&shown, layout, &mut out)?,
    }
    out.flush()?;
    Ok(FINE)
}
