//! `gotrace analyze`: what a build produced, read from the file itself.

mod read;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tracer_binary::{Analysis, Fingerprint, Options, Snapshot, snapshot};

pub(super) use self::read::read;
use super::file::NewFile;
use super::report::{self, Format};
use super::{Color, FAILURE, FINE, log};
use crate::render;

/// Tell what is in a Go binary, library, archive or package
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Tell what is in a Go binary, library, archive or package: what it is, what takes up its bytes, how it was linked, \
                  and its fingerprints.\n\nReads ELF, PE, Mach-O, WebAssembly and archives of any Go from 1.16 on, stripped or not. Runs \
                  nothing and needs no Go.",
    before_help = "  gotrace analyze bin/api\n  \
                   gotrace analyze --format json bin/* | jq .size\n  \
                   gotrace analyze --snapshot api.snapshot.json bin/api",
    after_long_help = "Every byte of the file is counted once at each grain, so that each adds up to the file's size.\n\n\
                       Exit code: 0, or 2 if a file could not be read; the others are told nevertheless."
)]
pub(super) struct Args {
    /// Files to read
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What the answer looks like; JSON is one line for each file
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the hashes of the file and its sections to FILE
    #[arg(long, value_name = "FILE")]
    fingerprint: Option<PathBuf>,
    /// Write what `gotrace diff` needs to FILE
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Rows of each table of the text
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Smaller symbols are not listed in JSON and snapshots, but summed up for each package
    #[arg(long, value_name = "BYTES", default_value_t = snapshot::MIN_SYMBOL)]
    min_symbol: u64,
    /// Put the entropy of every 4096 bytes into the JSON
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
            "--fingerprint and --snapshot are of one file, {} are given",
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
                alone: false,
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
        match args.format {
            Format::Text => {
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
            Format::Json => {
                serde_json::to_writer(&mut out, &analysis)?;
                writeln!(out)?;
            }
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
