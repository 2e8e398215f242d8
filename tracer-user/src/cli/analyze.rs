//! `gotrace analyze`: reports the content of a build output, read from the file itself.

pub(super) mod read;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tracer_binary::{Analysis, Fingerprint, Options, Snapshot, snapshot};

pub(super) use self::read::read;
use super::file::NewFile;
use super::report::{self, Format};
use super::{Color, FAILURE, FINE, log};
use crate::render::{self, write_document};

/// Report the content of a Go binary, library, archive or package
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Report the content of a Go binary, library, archive or package: its identity, the sizes of its parts, its link settings, \
                  and its fingerprints.\n\nReads ELF, PE, Mach-O, WebAssembly and archives of Go 1.16 and later, stripped or not. Runs no \
                  program and needs no Go.",
    before_help = "Examples:\n  gotrace analyze bin/api\n  \
                   gotrace analyze --format jsonl bin/* | jq .size\n  \
                   gotrace analyze --snapshot api.snapshot.json bin/api",
    after_long_help = "Each grain (section, package, symbol, ...) counts every byte of the file once, so each adds up to the file's size.\n\n\
                       Exit code: 0, or 2 if a file could not be read; the other files are still reported."
)]
pub(super) struct Args {
    /// Files to read
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Output format; JSON has one document per file
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the hashes of the file and its sections to FILE
    #[arg(long, value_name = "FILE")]
    fingerprint: Option<PathBuf>,
    /// Write a snapshot for `gotrace diff` to FILE
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Maximum number of rows of each table in text output
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Sum up symbols smaller than BYTES per package, instead of listing them in JSON and snapshots
    #[arg(long, value_name = "BYTES", default_value_t = snapshot::MIN_SYMBOL)]
    min_symbol: u64,
    /// Include the entropy of every 4096 bytes in the JSON
    #[arg(long)]
    windows: bool,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    if args.files.len() > 1 && (args.fingerprint.is_some() || args.snapshot.is_some()) {
        bail!(
            "--fingerprint and --snapshot need exactly one input file, but {} were given",
            args.files.len()
        );
    }
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    let mut code = FINE;
    for (number, path) in args.files.iter().enumerate() {
        let analysis = match analyze(
            path,
            Options {
                min_symbol: args.min_symbol,
                windows: args.windows,
                single_threaded: false,
            },
        ) {
            Ok(analysis) => analysis,
            Err(error) => {
                out.flush()?;
                log(format_args!("{error:#}"));
                code = FAILURE;
                continue;
            }
        };
        if let Some(path) = &args.fingerprint {
            write(path, &Fingerprint::of(&analysis))?;
        }
        if let Some(path) = &args.snapshot {
            write(path, &Snapshot::of(&analysis, args.min_symbol))?;
        }
        match args.format.layout() {
            None => {
                if number > 0 {
                    writeln!(out)?;
                }
                render::analysis(
                    &path.to_string_lossy(),
                    &analysis,
                    args.top,
                    &style,
                    &mut out,
                )?;
            }
            Some(layout) => write_document(&analysis, layout, &mut out)?,
        }
    }
    out.flush()?;
    Ok(code)
}

fn analyze(path: &Path, options: Options) -> anyhow::Result<Analysis> {
    let bytes = read(path)?;
    tracer_binary::analyze(&bytes, options)
        .with_context(|| format!("cannot analyze {}", path.display()))
}

fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let file = NewFile::create(path, None)?;
    let mut out = BufWriter::new(file.file());
    serde_json::to_writer(&mut out, value)
        .with_context(|| format!("cannot write {}", path.display()))?;
    out.write_all(b"\n")
        .and_then(|()| out.flush())
        .with_context(|| format!("cannot write {}", path.display()))?;
    drop(out);
    file.keep(None)
}
