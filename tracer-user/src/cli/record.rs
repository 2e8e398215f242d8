//! `gotrace record`: runs a command and records its trace.

use std::ffi::OsString;
use std::path::PathBuf;

use super::report;
use super::trace::{self, Detail, TraceRequest};

/// Run a command and record its trace
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run a command and record its trace.\n\n\
                  `gotrace replay FILE` reproduces the result on any machine, without privileges and eBPF. gotrace removes secrets before \
                  it writes anything. The command runs as under `gotrace run`.",
    before_help = "Examples:\n  sudo gotrace record -o build.gotrace -- go build ./...\n  \
                   gotrace replay build.gotrace"
)]
pub(super) struct Args {
    #[command(flatten)]
    trace: trace::Args,
    /// Write the recording to FILE
    #[arg(short, long, required = true, value_name = "FILE")]
    output: PathBuf,
    /// Level of detail of the trace
    #[arg(long, value_enum, default_value_t = Detail::CacheKey)]
    detail: Detail,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Returns the exit code.
pub(super) fn execute(args: Args) -> u8 {
    let Args {
        trace,
        output,
        detail,
        command,
    } = args;
    let report = report::Args::default();
    trace::execute(&TraceRequest {
        command,
        detail,
        store: None,
        recording: Some(output),
        report,
        stream: None,
        trace,
    })
}
