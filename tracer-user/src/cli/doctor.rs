//! `gotrace doctor`: checks whether gotrace can trace here.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::report::{self, Format};
use super::{Color, FINDINGS, FINE, LONG_VERSION, SETUP_EXIT_CODES, trace};
use crate::config::File;
use crate::doctor::bundle::{self, Bundle, BundleFile};
use crate::doctor::{self, Examination, Verdict};
use crate::launch::caller;
use crate::render::write_document;

/// Check whether gotrace can trace on this machine, and print advice if not
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Check whether gotrace can trace on this machine, and print advice if not.\n\n\
                  gotrace tests each feature of the kernel, loads programs and probes temporarily, and traces a small command.\n\n\
                  --bundle also collects the version, the configuration without secrets, the kernel's options, the agent's state and \
                  metrics, and the last lines of the service's log. It prints the names of the files.",
    before_help = "Examples:\n  sudo gotrace doctor\n  \
                   sudo gotrace doctor --format json\n  \
                   sudo gotrace doctor --bundle gotrace.tar.gz",
    after_long_help = format!("Exit code: 0 if all checks passed, 1 if one reported a limitation, 2 if gotrace itself failed. {SETUP_EXIT_CODES}")
)]
pub(super) struct Args {
    /// Write the files of a bug report to FILE, a new tar.gz, instead of the checks
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    bundle: Option<PathBuf>,
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
    let bundle = args.bundle.as_deref();
    let bundle = bundle.map(|path| Bundle::create(path, caller.as_ref()));
    let bundle = bundle.transpose()?;
    let examination = doctor::examine(&trace::hint(None, caller.as_ref()));
    if let (Some(bundle), Some(path)) = (bundle, &args.bundle) {
        return write_bundle(bundle, path, &examination);
    }
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

/// Writes the files of a bug report, and prints their names. Returns the exit code.
fn write_bundle(bundle: Bundle, path: &Path, examination: &Examination) -> anyhow::Result<u8> {
    let config = std::env::var_os("GOTRACE_CONFIG").map(PathBuf::from);
    let version = format!("gotrace {LONG_VERSION}\n");
    let files = bundle::collect(examination, version, File::read(config.as_deref()));
    bundle.write(&files)?;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "wrote {}:", path.display())?;
    for BundleFile {
        name,
        content,
        text,
    } in &files
    {
        writeln!(out, "  {name:<15} {:>8} bytes  {content}", text.len())?;
    }
    writeln!(
        out,
        "Secrets are redacted by rules, so read the files before you send them."
    )?;
    out.flush()?;
    Ok(FINE)
}
