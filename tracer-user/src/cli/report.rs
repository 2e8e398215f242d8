//! Flags of the report, and its output as text, JSON or metrics.

use std::ffi::OsStr;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use tracer_core::finished::FinishedTrace;

use super::Color;
use super::file::NewFile;
use crate::launch::caller::Caller;
use crate::render::{self, Facts, Layout, Style};

/// Columns without a terminal.
const WIDTH: usize = 100;

/// Form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs, with a published schema; indented
    Json,
    /// The same on one line
    Jsonl,
}

impl Format {
    /// The layout of a JSON document; `None` for text.
    pub(super) fn layout(self) -> Option<Layout> {
        match self {
            Self::Text => None,
            Self::Json => Some(Layout::Indented),
            Self::Jsonl => Some(Layout::Line),
        }
    }
}

#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Write the report to FILE, or to stdout for `-` [default: stdout; stderr for `run`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write Prometheus metrics to FILE, for the textfile collector of the node exporter
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// A future report with its created files.
#[derive(Debug)]
pub(super) struct Report {
    format: Format,
    color: Color,
    output: Option<Output>,
    metrics: Option<NewFile>,
}

/// The value of `--output`.
#[derive(Debug)]
enum Output {
    File(NewFile),
    Stdout,
}

/// The destination of a report without `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Args {
    /// Creates the files; returns an error for each failure.
    pub(super) fn prepare(&self, caller: Option<&Caller>) -> (Report, Vec<anyhow::Error>) {
        let mut errors = Vec::new();
        let mut create = |path: Option<&PathBuf>| match NewFile::create(path?, caller) {
            Ok(file) => Some(file),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let output = match self.output.as_ref() {
            Some(path) if path == Path::new("-") => Some(Output::Stdout),
            path => create(path).map(Output::File),
        };
        let metrics = create(self.metrics.as_ref());
        (
            Report {
                format: self.format,
                color: self.color,
                output,
                metrics,
            },
            errors,
        )
    }
}

impl Report {
    /// Writes the report to `--output` or, without one, to `stream`. With neither, only the metrics are written.
    pub(super) fn show(
        self,
        finished: &FinishedTrace,
        facts: Facts<'_>,
        stream: Option<Stream>,
        caller: Option<&Caller>,
    ) -> anyhow::Result<()> {
        let Self {
            format,
            color,
            output,
            metrics,
        } = self;
        if let Some(file) = metrics {
            file.file()
                .write_all(render::metrics(finished)?.as_bytes())
                .context("cannot write the metrics")?;
            file.keep(caller)?;
        }
        let style = |terminal: Option<&dyn Terminal>| style(color, terminal);
        match (output, stream) {
            (Some(Output::File(file)), _) => {
                write(format, finished, facts, &style(None), file.file())
                    .context("cannot write the report")?;
                file.keep(caller)
            }
            (Some(Output::Stdout), _) | (None, Some(Stream::Stdout)) => {
                let stdout = io::stdout();
                write(
                    format,
                    finished,
                    facts,
                    &style(Some(&stdout)),
                    stdout.lock(),
                )
                .context("cannot write to stdout")
            }
            (None, Some(Stream::Stderr)) => {
                let stderr = io::stderr();
                write(
                    format,
                    finished,
                    facts,
                    &style(Some(&stderr)),
                    stderr.lock(),
                )
                .context("cannot write to stderr")
            }
            (None, None) => Ok(()),
        }
    }
}

fn write(
    format: Format,
    finished: &FinishedTrace,
    facts: Facts<'_>,
    style: &Style,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    match format.layout() {
        None => render::text(finished, facts, style, &mut out)?,
        Some(layout) => render::json(finished, layout, &mut out)?,
    }
    out.flush()
}

/// A stream that may be a terminal.
pub(super) trait Terminal {
    fn is_one(&self) -> bool;
    fn columns(&self) -> Option<u16>;
}

impl<T: IsTerminal + AsFd> Terminal for T {
    fn is_one(&self) -> bool {
        self.is_terminal()
    }

    fn columns(&self) -> Option<u16> {
        rustix::termios::tcgetwinsize(self)
            .ok()
            .map(|size| size.ws_col)
            .filter(|&columns| columns > 0)
    }
}

/// The style for a stream, or, without one, for a file.
pub(super) fn style(color: Color, terminal: Option<&dyn Terminal>) -> Style {
    let is_terminal = terminal.is_some_and(Terminal::is_one);
    let width = terminal
        .filter(|it| it.is_one())
        .and_then(Terminal::columns)
        .map_or(WIDTH, usize::from);
    let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_coloured = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if env("NO_COLOR").is_some() => false,
        Color::Auto if env("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        Color::Auto => is_terminal && env("TERM").is_none_or(|term| term != "dumb"),
    };
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(env);
    Style {
        width,
        colour: is_coloured,
        unicode: !is_terminal || locale.is_some_and(|locale| is_utf8(&locale)),
    }
}

fn is_utf8(locale: &OsStr) -> bool {
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
