//! `gotrace run`: a command, and a summary of the builds under it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::MISSING;
use super::report::{self, Stream};
use super::trace::{self, Detail, Order};
use crate::history::Location;

/// Run a command and tell what it built
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run a command and tell what it built.\n\n\
                  The command starts when all probes are on, so nothing of its first build is missed. Its input, output, signals, \
                  terminal and exit code are as if gotrace were not there: all that gotrace says goes to stderr. Under sudo the \
                  command runs as the user who called sudo, with that user's environment. Without the rights to trace it runs \
                  untraced, and gotrace says what is missing.",
    before_help = "  sudo gotrace run -- go build ./...\n  \
                   sudo gotrace run --format json -o build.json -- make release\n  \
                   sudo gotrace run --metrics /var/lib/node_exporter/gotrace.prom --quiet -- go test ./...",
    after_long_help = format!("Exit code: that of the command; 128+N if signal N ended it; 126 if it cannot be executed, 127 if there is \
                       no such command; 125 if gotrace itself failed before. With --strict also where it could not trace. {MISSING}")
)]
pub(super) struct Args {
    #[command(flatten)]
    report: report::Args,
    #[command(flatten)]
    trace: trace::Args,
    /// Show no summary
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
    /// How much to see of a build
    #[arg(long, value_enum, default_value_t = Detail::Phase)]
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
    trace::execute(&Order {
        command,
        detail,
        recording: record,
        store,
        report,
        stream,
        trace,
    })
}
