//! `gotrace diff`: compares two binaries or snapshots, and checks budgets.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tracer_binary::budget::{self, Budget};
use tracer_binary::diff::{self, Diff, Side};
use tracer_binary::{Options, Snapshot};

use super::report::{self, Format};
use super::{Color, FINDINGS, FINE, analyze};
use crate::render::{self, write_document};

/// Compare two binaries or snapshots
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Compare two binaries or snapshots: sizes by section, module, package and symbol, identity, settings, dependencies and \
                  entropy.\n\n`gotrace analyze --snapshot FILE` writes a snapshot.",
    before_help = "Examples:\n  gotrace diff old/api new/api\n  \
                   gotrace diff main.snapshot.json bin/api --fail-on 'total +5%' --fail-on 'symbol +1KB'",
    after_long_help = "A budget consists of a grain, an optional name, and a limit:\n  \
                       total +5%            section .text +3%     module +200KB\n  \
                       symbol +1KB          archive +10KB         entropy +0.3\n\
                       Grains: total, group, content, section, module, package, symbol, archive, entropy. A budget without a name applies to every \
                       row. KB are 1000 bytes, KiB 1024. A new row has no percentage: limit it in bytes.\n\n\
                       Exit code: 0 if all budgets hold, 1 if one is exceeded, 2 if gotrace itself failed."
)]
pub(super) struct Args {
    /// A binary or a snapshot
    before: PathBuf,
    /// A binary or a snapshot
    after: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Exit with 1 if this budget is exceeded; can be repeated
    #[arg(long, value_name = "BUDGET")]
    fail_on: Vec<Budget>,
    /// Maximum number of rows of each table in text output
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let diff = compare(args)?;
    let breaches = budget::breaches(&diff, &args.fail_on);
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match args.format.layout() {
        None => {
            let names = (
                &*args.before.to_string_lossy(),
                &*args.after.to_string_lossy(),
            );
            render::analysis_diff(names, &diff, &breaches, args.top, &style, &mut out)?;
        }
        Some(layout) => {
            let mut value = serde_json::to_value(&diff)?;
            if let Some(fields) = value.as_object_mut() {
                fields.insert("breaches".to_owned(), serde_json::to_value(&breaches)?);
            }
            write_document(&value, layout, &mut out)?;
        }
    }
    out.flush()?;
    Ok(if breaches.is_empty() { FINE } else { FINDINGS })
}

/// Compares both inputs. Equal files are not analysed.
fn compare(args: &Args) -> anyhow::Result<Diff> {
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    if let Some(diff) = diff::unchanged(before.side(), after.side()) {
        return Ok(diff);
    }
    let before = before.snapshot(&args.before)?;
    let after = after.snapshot(&args.after)?;
    Ok(tracer_binary::diff(&before, &after))
}

enum Loaded {
    File(Vec<u8>),
    Snapshot(Box<Snapshot>),
}

fn load(path: &Path) -> anyhow::Result<Loaded> {
    let bytes = analyze::read(path)?;
    if !Snapshot::is_one(&bytes) {
        return Ok(Loaded::File(bytes));
    }
    let snapshot =
        Snapshot::read(&bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Loaded::Snapshot(Box::new(snapshot)))
}

impl Loaded {
    fn side(&self) -> Side<'_> {
        match self {
            Self::File(bytes) => Side::File(bytes),
            Self::Snapshot(snapshot) => Side::Snapshot(snapshot),
        }
    }

    /// Analyses a binary with all symbols, so that none is summed up unnecessarily.
    fn snapshot(self, path: &Path) -> anyhow::Result<Snapshot> {
        let bytes = match self {
            Self::File(bytes) => bytes,
            Self::Snapshot(snapshot) => return Ok(*snapshot),
        };
        let options = Options {
            min_symbol: 0,
            windows: false,
            single_threaded: false,
        };
        let analysis = tracer_binary::analyze(&bytes, options)
            .with_context(|| format!("cannot analyze {}", path.display()))?;
        Ok(Snapshot::of(&analysis, 0))
    }
}
