//! `gotrace run`: runs a command and prints a summary of its builds.

use std::ffi::OsString;
use std::path::PathBuf;

use super::SETUP_EXIT_CODES;
use super::report::{self, Stream};
use super::trace::{self, Detail, TraceRequest};
use crate::history::Location;

/// Run a command and report its builds
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run a command and report its builds.\n\n\
                  The command starts after all probes are attached, so its first build is traced completely. gotrace passes input, output, \
                  signals, terminal and exit code through, and prints its own messages on stderr. Under sudo the command runs as the user who \
                  called sudo, with that user's environment. Without the necessary privileges the command runs untraced, and gotrace names the \
                  missing ones.",
    before_help = "Examples:\n  sudo gotrace run -- go build ./...\n  \
                   sudo gotrace run --format json -o build.json -- make release\n  \
                   sudo gotrace run --metrics /var/lib/node_exporter/gotrace.prom --quiet -- go test ./...",
    after_long_help = format!("Exit code: that of the command; 128+N if signal N ended it; 126 if it cannot be executed, 127 if it does \
                       not exist; 125 if gotrace failed before. With --strict, a failure to trace is an error too. {SETUP_EXIT_CODES}")
)]
pub(super) struct Args {
    #[command(flatten)]
    report: report::Args,
    #[command(flatten)]
    trace: trace::Args,
    /// Print no summary
    #[arg(short, long)]
    quiet: bool,
    /// Also write a recording to FILE, for `gotrace replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[arg(
        long,
        value_name = "PLACE",
        help = "Also store every build in this history, for `gotrace builds` and `gotrace show`: a file, or postgres://USER@HOST/DATABASE"
    )]
    store: Option<Location>,
    /// Level of detail of the trace
    #[arg(long, value_enum, default_value_t = Detail::CacheKey)]
    detail: Detail,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// Returns the exit code.
pub(super) fn execute(args: Args) -> u8 {
    let Args {
        report,
        trace,
        quiet,
        record,
        store,
        detail,
        command,
    } = args;
    let stream = (!quiet).then_some(Stream::Stderr);
    trace::execute(&TraceRequest {
        command,
        detail,
        recording: record,
        store,
        report,
        stream,
        trace,
    })
}
