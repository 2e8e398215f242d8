//! The hooks that are not uprobes, and attaching to them. The scheduler's hooks are required; the hook of `rename` is optional.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, FExit, Program, ProgramError, ProgramType, TracePoint};
use aya::sys::{BpfHelper, is_helper_supported};
use aya::{Btf, Ebpf};
use aya_obj::btf::BtfKind;

use super::error::{SetupError, TracerError, from_program};
use super::rename::{self, RenameHook};

/// A program, and the BTF tracepoint that it attaches to.
type Row = (&'static str, &'static str);

const SCHEDULER: [Row; 5] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    // Before the next hook, so that the record of every exit is complete.
    ("on_free", "sched_process_free"),
    ("on_signal", "signal_generate"),
    ("on_exit", "sched_process_exit"),
];

/// A program of [`SCHEDULER`], and the same program with `bpf_loop`, which newer kernels check in a tenth of the time.
const LOOPED: Row = ("on_exec", "on_exec_looped");

/// Backup programs behind them, for kernels that can preempt a program: see `tracer-ebpf/src/redundant.rs`.
const LATE: [Row; 3] = [
    ("on_fork_late", "sched_process_fork"),
    ("on_exec_late", "sched_process_exec"),
    ("on_exit_late", "sched_process_exit"),
];

/// Backup programs for kernels without tracefs, in this order.
const BACKUP: [Row; 5] = [
    ("on_fork_backup", "sched_process_fork"),
    ("on_exec_backup", "sched_process_exec"),
    ("on_exit_backup", "sched_process_exit"),
    ("on_exec_wake", "sched_process_exec"),
    ("on_exit_wake", "sched_process_exit"),
];

/// A type in the BTF of kernels that guard tracepoints by SRCU instead of disabling preemption (`docs/kernel-facts.md`).
const GUARD: &str = "class_srcu_fast_notrace_t";

/// The kernel's function for `renameat`. Go does not use the other two system calls that rename.
pub(super) const RENAMEAT: &str = if cfg!(target_arch = "aarch64") {
    "__arm64_sys_renameat"
} else {
    "__x64_sys_renameat"
};
/// The two copies of the program at its return: see `tracer-ebpf/src/rename.rs`.
const RENAME: [&str; 2] = ["on_renameat", "on_renameat_backup"];

pub(super) const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A program name and its link.
type NamedLink = (&'static str, FdLink);

/// The attached programs.
pub(super) struct Attached {
    /// Links by program name.
    pub(super) links: Vec<NamedLink>,
    /// The hook of `rename`, if it is a tracepoint. Dropping it can take 70 ms, so the owner chooses the time.
    pub(super) rename: Option<RenameHook>,
    /// Limitations, one sentence each.
    pub(super) notes: Vec<String>,
}

/// True if this kernel can preempt a program at a tracepoint. A false positive only attaches unneeded backups.
pub(super) fn are_preemptible(btf: &Btf) -> bool {
    btf.id_by_type_name_kind(GUARD, BtfKind::Typedef).is_ok()
}

/// The types in the kernel's BTF that this module searches.
pub(super) fn types() -> impl Iterator<Item = String> {
    let tracepoints = SCHEDULER.iter().chain(&BACKUP);
    let tracepoints = tracepoints.map(|(_, hook)| format!("btf_trace_{hook}"));
    tracepoints.chain([GUARD.to_owned()])
}

/// True if a program at a system call's tracepoint can reach the process's registers only through its first argument word (before
/// Linux 5.15).
pub(super) fn are_registers_first() -> bool {
    let helper = BpfHelper::BPF_FUNC_task_pt_regs;
    matches!(
        is_helper_supported(ProgramType::TracePoint, helper),
        Ok(false)
    )
}

/// Offset of the child's process ID in the record of a fork; zero without tracefs.
pub(super) fn child_at() -> u32 {
    let format = |tracefs: &str| {
        fs::read_to_string(Path::new(tracefs).join("events/sched/sched_process_fork/format")).ok()
    };
    let format = TRACEFS.into_iter().find_map(format);
    format
        .and_then(|it| offset_of("child_pid", &it))
        .unwrap_or(0)
}

/// Parses a line like `field:pid_t child_pid; offset:44; size:4; signed:1;`, with tabs between its parts.
fn offset_of(field: &str, format: &str) -> Option<u32> {
    let name = format!(" {field};");
    let line = format.lines().find(|it| it.contains(&name))?;
    let (_, rest) = line.split_once("offset:")?;
    let (offset, _) = rest.split_once(';')?;
    offset.parse().ok()
}

/// Attaches all programs. With `has_backups`, the scheduler's programs also get backups.
pub(super) fn attach_all(
    ebpf: &mut Ebpf,
    btf: &Btf,
    has_backups: bool,
) -> Result<Attached, SetupError> {
    let mut links = Vec::new();
    let mut rename = None;
    let mut notes = Vec::new();
    // Before the scheduler's hooks, so that the first rename of a followed process is recorded.
    match attach_rename(ebpf, btf) {
        Ok(Some(RenameLinks::Function(both))) => links.extend(both),
        Ok(Some(RenameLinks::Event(hook))) => rename = Some(hook),
        Ok(None) => notes.push(
            "renames are not observed, so output paths come from probes alone: \
             no system call tracepoints (see `gotrace doctor`)"
                .to_owned(),
        ),
        Err(error) => {
            notes.push(format!(
                "renames are not observed, so output paths come from probes alone: {error}"
            ));
        }
    }
    links.extend(attach_rows(ebpf, btf, &SCHEDULER)?);
    if has_backups {
        let backups = match attach_late(ebpf) {
            Some(links) => links,
            None => attach_rows(ebpf, btf, &BACKUP)?,
        };
        links.extend(backups);
    }
    Ok(Attached {
        links,
        rename,
        notes,
    })
}

/// Names of the programs that are always attached to the scheduler's hooks.
pub(super) fn scheduler() -> impl Iterator<Item = &'static str> {
    SCHEDULER.iter().map(|(name, _)| *name)
}

/// Names of the programs that are attached only on some kernels.
pub(super) fn optional() -> impl Iterator<Item = &'static str> {
    let backups = LATE.iter().chain(&BACKUP);
    backups.map(|(name, _)| *name).chain(RENAME)
}

/// True for a program that records renames at the kernel's function.
pub(super) fn is_rename(name: &str) -> bool {
    RENAME.contains(&name)
}

fn attach_rows(ebpf: &mut Ebpf, btf: &Btf, rows: &[Row]) -> Result<Vec<NamedLink>, SetupError> {
    let mut links = Vec::with_capacity(rows.len());
    for &(name, hook) in rows {
        let link = attach_scheduler(ebpf, btf, name, hook);
        links.push((name, link.map_err(|error| from_program(hook, error))?));
    }
    Ok(links)
}

/// Attaches all late programs or none. Fails without tracefs, or without the right to read it.
fn attach_late(ebpf: &mut Ebpf) -> Option<Vec<NamedLink>> {
    let mut links = Vec::with_capacity(LATE.len());
    for (name, hook) in LATE {
        let program: &mut TracePoint = program(ebpf, name).ok()?.try_into().ok()?;
        program.load().ok()?;
        let id = program.attach("sched", hook).ok()?;
        links.push((name, program.take_link(id).ok()?.try_into().ok()?));
    }
    Some(links)
}

fn attach_scheduler(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    hook: &str,
) -> Result<FdLink, TracerError> {
    let (portable, looped) = LOOPED;
    if name == portable
        && has_loop()
        && let Ok(link) = attach_tracepoint(ebpf, btf, looped, hook)
    {
        return Ok(link);
    }
    attach_tracepoint(ebpf, btf, name, hook)
}

fn attach_tracepoint(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    hook: &str,
) -> Result<FdLink, TracerError> {
    let program: &mut BtfTracePoint = program(ebpf, name)?.try_into()?;
    program.load(hook, btf)?;
    let id = program.attach()?;
    Ok(program.take_link(id)?.into())
}

/// True since Linux 5.17.
fn has_loop() -> bool {
    let helper = BpfHelper::BPF_FUNC_loop;
    matches!(
        is_helper_supported(ProgramType::TracePoint, helper),
        Ok(true)
    )
}

/// The loaded program of a row, in the form that was loaded.
pub(super) fn loaded<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut Program, TracerError> {
    let (portable, looped) = LOOPED;
    let is_looped = name == portable && program(ebpf, looped)?.fd().is_ok();
    program(ebpf, if is_looped { looped } else { name })
}

/// The links of the hook of `rename`.
enum RenameLinks {
    Function(Vec<NamedLink>),
    Event(RenameHook),
}

/// Returns `None` if this kernel has neither the function nor the tracepoint.
fn attach_rename(ebpf: &mut Ebpf, btf: &Btf) -> Result<Option<RenameLinks>, TracerError> {
    // A kernel may have the function, but no trampolines for programs; then the tracepoint serves.
    if let Ok(links) = attach_function(ebpf, btf) {
        return Ok(Some(RenameLinks::Function(links)));
    }
    if rename::tracepoint(&TRACEFS).is_none() {
        return Ok(None);
    }
    let program: &mut TracePoint = program(ebpf, rename::PROGRAM)?.try_into()?;
    program.load()?;
    let program = program.fd()?.as_fd().try_clone_to_owned();
    let mut hook = RenameHook::new(program.map_err(ProgramError::IOError)?);
    hook.attach().map_err(TracerError::Rename)?;
    Ok(Some(RenameLinks::Event(hook)))
}

/// Attaches both programs or none.
fn attach_function(ebpf: &mut Ebpf, btf: &Btf) -> Result<Vec<NamedLink>, TracerError> {
    let mut links = Vec::with_capacity(RENAME.len());
    for name in RENAME {
        let program: &mut FExit = program(ebpf, name)?.try_into()?;
        program.load(RENAMEAT, btf)?;
        let id = program.attach()?;
        links.push((name, program.take_link(id)?.into()));
    }
    Ok(links)
}

pub(super) fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut Program, TracerError> {
    ebpf.program_mut(name).ok_or(TracerError::NoProgram(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_a_tracepoint_field_is_parsed() {
        let format = "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
                      \tfield:pid_t parent_pid;\toffset:12;\tsize:4;\tsigned:1;\n\
                      \tfield:pid_t child_pid;\toffset:20;\tsize:4;\tsigned:1;\n";
        assert_eq!(offset_of("child_pid", format), Some(20));
        assert_eq!(offset_of("pid", format), None);
    }
}
