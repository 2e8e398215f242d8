//! The hooks that are not uprobes, and attaching to them. The scheduler's are required; those of `rename` are not.

use std::path::Path;

use aya::programs::{BtfTracePoint, TracePoint};
use aya::{Btf, Ebpf};

use super::error::{SetupError, TracerError, from_program};

/// Program, and the BTF tracepoint it runs at.
const SCHEDULER: [(&str, &str); 3] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
];

/// Program, and the tracepoints of system calls it runs at. An architecture lacks some of them (arm64 has no `rename`).
const RENAME: [(&str, &[&str]); 3] = [
    ("rename_enter", &["sys_enter_rename"]),
    (
        "renameat_enter",
        &["sys_enter_renameat", "sys_enter_renameat2"],
    ),
    (
        "rename_exit",
        &["sys_exit_rename", "sys_exit_renameat", "sys_exit_renameat2"],
    ),
];

const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Attaches all, and says in sentences what is missing.
pub(super) fn attach_all(ebpf: &mut Ebpf, btf: &Btf) -> Result<Vec<String>, SetupError> {
    let mut notes = Vec::new();
    // Before the scheduler's: a process that is followed has its renames seen from the first.
    match attach_rename(ebpf) {
        Ok(true) => {}
        Ok(false) => notes.push(
            "renames are not seen, so an output's path rests on the probes of the go command alone: this kernel has no system call \
             tracepoints, or tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)"
                .to_owned(),
        ),
        Err(error) => {
            notes.push(format!("renames are not seen, so an output's path rests on the probes of the go command alone: {error}"));
        }
    }
    for (name, hook) in SCHEDULER {
        attach_scheduler(ebpf, btf, name, hook).map_err(|error| from_program(hook, error))?;
    }
    Ok(notes)
}

fn attach_scheduler(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    hook: &str,
) -> Result<(), TracerError> {
    let program: &mut BtfTracePoint = ebpf
        .program_mut(name)
        .ok_or(TracerError::NoProgram(name))?
        .try_into()?;
    program.load(hook, btf)?;
    program.attach()?;
    Ok(())
}

/// Whether there was anything to attach to.
fn attach_rename(ebpf: &mut Ebpf) -> Result<bool, TracerError> {
    let Some(tracefs) = TRACEFS
        .iter()
        .map(Path::new)
        .find(|tracefs| tracefs.join("events/syscalls").is_dir())
    else {
        return Ok(false);
    };
    for (name, hooks) in RENAME {
        let program: &mut TracePoint = ebpf
            .program_mut(name)
            .ok_or(TracerError::NoProgram(name))?
            .try_into()?;
        program.load()?;
        for hook in hooks {
            if tracefs.join("events/syscalls").join(hook).is_dir() {
                program.attach("syscalls", hook)?;
            }
        }
    }
    Ok(true)
}
