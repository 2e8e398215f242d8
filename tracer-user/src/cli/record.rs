//! `gotrace record`: a command, and a recording of what was seen of it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::report;
use super::trace::{self, Detail, TraceRequest};

/// Run a command and record what is seen of it
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run a command and record what is seen of it.\n\n\
                  The recording gives the same result on any machine, with no privileges and no eBPF: `gotrace replay FILE`. Secrets \
                  are taken out before anything is written. The command runs as under `gotrace run`.",
    before_help = "  sudo gotrace record -o build.gotrace -- go build ./...\n  \
                   gotrace replay build.gotrace"
)]
pub(super) struct Args {
    #[command(flatten)]
    trace: trace::Args,
    /// Write the recording to FILE
    #[arg(short, long, required = true, value_name = "FILE")]
    output: PathBuf,
    /// How much to see of a build
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
