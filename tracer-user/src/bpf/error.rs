//! Errors: the reasons why tracing cannot start, each with a remedy, and the failures of a loaded tracer.

use std::error::Error;
use std::io;

use aya::maps::{Map, MapError};
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError};
use thiserror::Error as ThisError;

use super::{pin, privilege};

type BoxedError = Box<dyn Error + Send + Sync>;

/// The object could not be loaded, or a required program could not be attached.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum SetupError {
    #[error(
        "this kernel has no BTF (/sys/kernel/btf/vmlinux): gotrace needs Linux 5.10 or later, built with CONFIG_DEBUG_INFO_BTF"
    )]
    NoBtf,
    #[error(
        "gotrace does not support this kernel: its BTF has no {structure}.{name} (report it with the output of `uname -a`)"
    )]
    NoField {
        structure: &'static str,
        name: &'static str,
    },
    #[error("not permitted to trace: missing {} (run with sudo, or see `gotrace doctor`)", missing.join(", "))]
    NotPermitted { missing: Vec<&'static str> },
    #[error(
        "BPF programs cannot read kernel memory under lockdown=confidentiality: boot with lockdown=integrity or without"
    )]
    Lockdown,
    #[error(
        "the kernel refused memory for a map: raise the limit of locked memory (ulimit -l unlimited, or LimitMEMLOCK=infinity)"
    )]
    Memlock { source: BoxedError },
    #[error(
        "the kernel's verifier rejected the program at {program}: {summary} (report it with `uname -a` and the log, see -v)"
    )]
    Verifier {
        program: String,
        summary: String,
        log: String,
    },
    #[error(transparent)]
    Pin(pin::PinError),
    #[error("cannot {what}")]
    Kernel { what: String, source: BoxedError },
}

impl SetupError {
    /// The exit code of a command that cannot continue without tracing: one for each class of error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoBtf | Self::NoField { .. } => 110,
            Self::NotPermitted { .. } => 111,
            Self::Lockdown => 112,
            Self::Memlock { .. } => 113,
            Self::Verifier { .. } => 114,
            Self::Pin(_) | Self::Kernel { .. } => 115,
        }
    }

    /// Details for `--verbose`: the verifier's log.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } => Some(log),
            Self::NoBtf
            | Self::NoField { .. }
            | Self::NotPermitted { .. }
            | Self::Lockdown
            | Self::Memlock { .. }
            | Self::Pin(_)
            | Self::Kernel { .. } => None,
        }
    }
}

/// A failed operation of a loaded tracer.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum TracerError {
    #[error("this kernel does not accept the program of the probes: {0}")]
    NoProbes(String),
    #[error("the BPF object has no program {0}")]
    NoProgram(&'static str),
    #[error("cannot read or change a BPF map")]
    Map(#[from] MapError),
    #[error("cannot attach the probes of a file")]
    Attach(#[source] io::Error),
    #[error("cannot attach to the tracepoint of renames")]
    Rename(#[source] io::Error),
    #[error("cannot load or attach a BPF program")]
    Program(#[from] ProgramError),
}

pub(super) fn kernel(what: &str, source: impl Into<BoxedError>) -> SetupError {
    SetupError::Kernel {
        what: what.to_owned(),
        source: source.into(),
    }
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, SetupError> {
    ebpf.take_map(name).ok_or_else(|| {
        kernel(
            &format!("find the map {name}"),
            "the BPF object does not have it",
        )
    })
}

pub(super) fn borrow<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut Map, SetupError> {
    ebpf.map_mut(name).ok_or_else(|| {
        kernel(
            &format!("find the map {name}"),
            "the BPF object does not have it",
        )
    })
}

pub(super) fn from_map(error: MapError) -> SetupError {
    let is_refused = matches!(&error, MapError::CreateError { io_error, .. }
        if io_error.kind() == io::ErrorKind::PermissionDenied);
    if is_refused {
        refused(error)
    } else {
        kernel("prepare the maps", error)
    }
}

pub(super) fn from_load(error: EbpfError) -> SetupError {
    if let EbpfError::MapError(error) = error {
        return from_map(error);
    }
    kernel("load the BPF object", error)
}

/// Handles EPERM for a map: a missing capability or, before 5.11, the limit of locked memory.
fn refused(error: MapError) -> SetupError {
    let missing = privilege::missing();
    if missing.is_empty() {
        SetupError::Memlock {
            source: error.into(),
        }
    } else {
        SetupError::NotPermitted { missing }
    }
}

pub(super) fn from_program(hook: &str, error: TracerError) -> SetupError {
    if let TracerError::Program(ProgramError::LoadError {
        io_error,
        verifier_log,
    }) = &error
    {
        let log = verifier_log.to_string();
        let missing = privilege::missing();
        if io_error.kind() == io::ErrorKind::PermissionDenied
            && log.is_empty()
            && !missing.is_empty()
        {
            return SetupError::NotPermitted { missing };
        }
        let summary = summary(&log);
        if is_lockdown(&summary) {
            return SetupError::Lockdown;
        }
        if !log.is_empty() {
            return SetupError::Verifier {
                program: hook.to_owned(),
                summary,
                log,
            };
        }
    }
    kernel(&format!("attach to {hook}"), error)
}

/// The error and its causes, in one line.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// True if the verifier's message shows a kernel that is locked down for confidentiality. Such a kernel does not offer the function that
/// reads its memory; the wording differs between old and new verifiers. Every other kernel with BTF offers it to programs of our
/// licence. This detection also works where securityfs is not mounted, as in most containers.
fn is_lockdown(summary: &str) -> bool {
    let is_unknown = ["unknown func ", "cannot use helper "]
        .iter()
        .any(|it| summary.contains(it));
    // `aya` uses the first function if the kernel offers it, else the second.
    let reads = ["bpf_probe_read_kernel#", "bpf_probe_read#"];
    is_unknown && reads.iter().any(|it| summary.contains(it))
}

/// The reason in a verifier's log: the last line before the statistics.
fn summary(log: &str) -> String {
    let is_statistics = |line: &str| {
        let line = line.trim();
        line.is_empty()
            || ["processed ", "verification time", "stack depth", "-- END"]
                .iter()
                .any(|it| line.starts_with(it))
    };
    log.lines()
        .rev()
        .find(|line| !is_statistics(line))
        .unwrap_or("no reason given")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_rejection_is_the_line_before_the_statistics() {
        let log = "0: R1=ctx()\n12: (85) call bpf_probe_read_user#112\nR2 unbounded memory access, use 'var &= const'\n\
                   processed 13 insns (limit 1000000)\n";
        assert_eq!(
            summary(log),
            "R2 unbounded memory access, use 'var &= const'"
        );
        assert_eq!(summary(""), "no reason given");
    }

    #[test]
    fn a_kernel_without_memory_reads_is_locked_down() {
        assert!(is_lockdown("unknown func bpf_probe_read#4"));
        assert!(is_lockdown("unknown func bpf_probe_read_kernel#113"));
        let newer = "program of this type cannot use helper bpf_probe_read#4";
        assert!(is_lockdown(newer));
        assert!(!is_lockdown("unknown func bpf_get_attach_cookie#174"));
        assert!(!is_lockdown(
            "R2 invalid mem access in bpf_probe_read_kernel"
        ));
    }
}
