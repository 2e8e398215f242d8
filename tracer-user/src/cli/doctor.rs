//! `gotrace doctor`: checks whether gotrace can trace here.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;

use super::report::{self, Format};
use super::{Color, FINDINGS, FINE, SETUP_EXIT_CODES, trace};
use crate::doctor::{self, Verdict};
use crate::launch::caller;
use crate::render::write_document;

/// Check whether gotrace can trace on this machine, and print advice if not
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Check whether gotrace can trace on this machine, and print advice if not.\n\n\
                  gotrace tests each feature of the kernel, loads programs and probes temporarily, and traces a small command.",
    before_help = "Examples:\n  sudo gotrace doctor\n  \
                   sudo gotrace doctor --format json",
    after_long_help = format!("Exit code: 0 if all checks passed, 1 if one reported a limitation, 2 if gotrace itself failed. {SETUP_EXIT_CODES}")
)]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let caller = caller::of_sudo()?;
    let examination = doctor::examine(&trace::hint(None, caller.as_ref()));
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    let shown = match args.format.layout() {
        None => doctor::text(&examination, &style, &mut out),
        Some(layout) => write_document(&examination, layout, &mut out),
    };
    shown
        .and_then(|()| out.flush())
        .context("cannot write to stdout")?;
    Ok(match (examination.refused, examination.verdict()) {
        (Some(code), _) => code,
        (None, Verdict::Fine) => FINE,
        (None, Verdict::Limited | Verdict::Broken) => FINDINGS,
    })
}
