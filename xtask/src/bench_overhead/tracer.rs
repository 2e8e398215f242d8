//! The tracers of a sample.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::shell;

/// The tracer of a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracer {
    None,
    /// The second untraced build, which measures the noise.
    Control,
    /// `gotrace run --detail LEVEL`.
    Gotrace(&'static str),
    /// `gotrace agent --detail LEVEL`, which runs before the sample begins and has probed the toolchain.
    Agent(&'static str),
    Strace,
    PerfTrace,
}

/// The tracers whose CPU time is divided into parts.
pub(super) const DIVIDED: [Tracer; 4] = [
    Tracer::Gotrace("phase"),
    Tracer::Gotrace("cache-key"),
    Tracer::Agent("phase"),
    Tracer::Agent("cache-key"),
];

impl Tracer {
    pub(super) fn name(self) -> String {
        match self {
            Self::None => "nothing".into(),
            Self::Control => "nothing, again".into(),
            Self::Gotrace(detail) => format!("gotrace run --detail {detail}"),
            Self::Agent(detail) => format!("gotrace agent --detail {detail}"),
            Self::Strace => "strace -f -e trace=execve".into(),
            Self::PerfTrace => "perf trace -e execve".into(),
        }
    }

    /// The first part of the command line; the tracer writes to a file in `scratch`.
    pub(super) fn command(self, gotrace: &Path, scratch: &Path) -> Result<Option<Command>> {
        let command = match self {
            Self::None | Self::Control | Self::Agent(_) => return Ok(None),
            Self::Gotrace(detail) => {
                let mut command = shell::as_root(gotrace)?;
                // `--strict` fails an untraced build, whose times would be too low. `--verbose` logs gotrace's own times.
                command.args([
                    "run",
                    "--strict",
                    "--verbose",
                    "--quiet",
                    "--format",
                    "json",
                    "--detail",
                    detail,
                    "-o",
                ]);
                command.arg(scratch.join("gotrace.json"));
                command
            }
            Self::Strace => {
                let mut command = Command::new("strace");
                command
                    .args(["-f", "-qq", "-e", "trace=execve", "-o"])
                    .arg(scratch.join("strace.txt"));
                command
            }
            Self::PerfTrace => {
                let mut command = Command::new("perf");
                command
                    .args(["trace", "-e", "execve", "-o"])
                    .arg(scratch.join("perf.txt"));
                command
            }
        };
        Ok(Some(command))
    }
}

/// Tracers that can run here; prints the others.
pub(super) fn all() -> Result<Vec<Tracer>> {
    let mut tracers = vec![
        Tracer::Control,
        Tracer::Gotrace("process"),
        Tracer::Gotrace("phase"),
        Tracer::Gotrace("cache-key"),
        Tracer::Agent("phase"),
        Tracer::Agent("cache-key"),
    ];
    if shell::find("strace").is_some() {
        tracers.push(Tracer::Strace);
    } else {
        println!("left out: strace (not installed)");
    }
    if !shell::is_root()? {
        println!("left out: perf trace (needs root)");
    } else if shell::succeeds(Command::new("perf").args(["trace", "-e", "execve", "--", "true"])) {
        tracers.push(Tracer::PerfTrace);
    } else {
        println!("left out: perf trace (does not run here)");
    }
    Ok(tracers)
}
