//! `gotrace show`: prints one build of the history.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use tracer_core::history::{Entry, IdPrefix};

use super::builds::StoreArgs;
use super::report::{self, Format};
use super::{Color, FINE};
use crate::clock;
use crate::history::{self, BuildView, Cause, Explained, Reader, View};
use crate::render::Style;

/// Show one build of the history
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show one build of the history: the summary of `gotrace run`, its origin, and a comparison of its outputs with the \
                  previous ones.",
    before_help = "Examples:\n  gotrace show 019ab12f-3c44\n  \
                   gotrace show --format json 019ab12f-3c44 | jq .summary"
)]
pub(super) struct Args {
    #[command(flatten)]
    build: BuildArgs,
}

/// A build of the history, and the form of the output.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct BuildArgs {
    /// ID of the build as in `gotrace builds`, or its beginning
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub(super) color: Color,
}

impl BuildArgs {
    /// The build and the causes of its actions. Only text and `explain` contain them.
    pub(super) fn read(&self, with_causes: bool) -> anyhow::Result<(BuildView, Explained)> {
        self.read_with(|reader, shown| {
            if with_causes {
                reader.explain(shown)
            } else {
                Ok(Explained::default())
            }
        })
    }

    /// Prints a view of the build, as a document or as text.
    pub(super) fn print<T: View>(
        &self,
        entry: &Entry,
        view: &T,
        text: impl FnOnce(&Style, &mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<u8> {
        let stdout = io::stdout();
        let style = report::style(self.color, Some(&stdout));
        let mut out = BufWriter::new(stdout.lock());
        match self.format.layout() {
            Some(layout) => history::view_json(entry, view, layout, &mut out)?,
            None => text(&style, &mut out)?,
        }
        out.flush()?;
        Ok(FINE)
    }

    /// The build, and what else is read as of the same moment.
    pub(super) fn read_with<T>(
        &self,
        more: impl Fn(&Reader<'_>, &BuildView) -> Result<T, Cause>,
    ) -> anyhow::Result<(BuildView, T)> {
        let id = &self.id;
        let prefix = id.parse::<IdPrefix>();
        let prefix = prefix.with_context(|| format!("`{id}` is not the ID of a build"))?;
        let read = |it: &Reader<'_>| {
            let shown = it.show(&prefix)?;
            let more = more(it, &shown)?;
            Ok((shown, more))
        };
        Ok(self.store.location()?.read(read)?)
    }
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let args = &args.build;
    let layout = args.format.layout();
    let (shown, explained) = args.read(layout.is_none())?;
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match layout {
        None => history::show(
            &shown,
            &explained.explanation,
            clock::wall_ns(),
            &style,
            &mut out,
        )?,
        Some(layout) => history::show_json(&shown, layout, &mut out)?,
    }
    out.flush()?;
    Ok(FINE)
}
