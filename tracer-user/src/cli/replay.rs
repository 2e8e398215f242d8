//! `gotrace replay`: prints the report of a recording, as `gotrace run` does.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;
use tracer_core::finished::FinishedTrace;

use super::report::{self, Stream};
use super::{FAILURE, FINE, log};
use crate::driver::{self, Replayed};
use crate::render::Facts;

/// Print the report of a recording
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Print the report of a recording, as `gotrace run` does.\n\nNeeds no privileges, no eBPF and no Go.",
    before_help = "Examples:\n  gotrace replay build.gotrace\n  \
                   gotrace replay --format json build.gotrace | jq .summary"
)]
pub(super) struct Args {
    #[command(flatten)]
    report: report::Args,
    /// A file that `gotrace record` or `gotrace run --record` wrote
    #[arg(value_name = "FILE")]
    recording: PathBuf,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let path = args.recording.display();
    let file = File::open(&args.recording).with_context(|| format!("cannot read {path}"))?;
    let (report, errors) = args.report.prepare(None);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let Replayed {
        trace,
        n_skipped,
        damage,
    } = driver::replay(BufReader::new(file)).with_context(|| format!("cannot replay {path}"))?;
    report.show(
        &FinishedTrace::of(trace),
        Facts::default(),
        Some(Stream::Stdout),
        None,
    )?;
    if n_skipped > 0 {
        log(format_args!(
            "skipped {n_skipped} events of {path} that this version does not support"
        ));
    }
    if let Some(damage) = damage {
        log(format_args!(
            "{path} is damaged, so the following events are missing: {damage}"
        ));
        return Ok(FAILURE);
    }
    Ok(FINE)
}
