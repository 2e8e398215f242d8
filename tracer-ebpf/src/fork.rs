//! A traced process forked: the child is traced too.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use tracer_abi::{Fork, Kind, Ours};

use crate::{
    kernel::{born, current_task, current_tgid, read},
    log::info,
    maps::{OURS, offset},
    record::{count_lost, count_seen, header, send, wake_if_filling},
    redundant::{child_at, n_backup, wake},
};

/// Arguments of the tracepoint: the forking task, which is the running one, and the new task.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn on_fork(ctx: BtfTracePointContext) -> i32 {
    follow(&ctx, ctx.arg(1));
    0
}

/// A backup: see `redundant`; the same holds for the next.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn on_fork_backup(ctx: BtfTracePointContext) -> i32 {
    follow(&ctx, ctx.arg(1));
    0
}

#[tracepoint]
pub fn on_fork_late(ctx: TracePointContext) -> u32 {
    if OURS.get_ptr(current_tgid()).is_some()
        && let Some(task) = newest_child(&ctx)
    {
        follow(&ctx, task);
    }
    wake();
    0
}

/// The running task has forked `task`, which has not run yet.
#[inline(always)]
fn follow<C: EbpfContext>(ctx: &C, task: u64) -> Option<()> {
    let parent = OURS.get_ptr(current_tgid())?;
    let child: u32 = read(task, offset!(task_tgid))?;
    let tid: u32 = read(task, offset!(task_pid))?;
    if child != tid {
        return None; // The new task is a thread.
    }
    let child_born_ns: u64 = read(task, offset!(task_start_boottime))?;
    if n_backup() != 0 && is_known(child, child_born_ns) {
        return None;
    }
    // SAFETY: the map keeps the element while the program runs. Until its exec the child runs its parent's program.
    let target = unsafe { (*parent).target };
    if OURS
        .insert(
            child,
            Ours {
                born_ns: child_born_ns,
                target,
                ..Ours::NEW
            },
            0,
        )
        .is_err()
    {
        count_seen(Kind::TRACK);
        count_lost(Kind::TRACK);
    }
    info!(ctx, "fork of {}", child);
    let header = header(Kind::FORK, size_of::<Fork>() as u64, born(current_task()));
    send(
        Kind::FORK,
        &Fork {
            header,
            child_born_ns,
            child,
            pad: 0,
        },
        wake_if_filling(),
    );
    Some(())
}

/// The new task. The record of this tracepoint contains only its number. The task is the last child of the running task, or of the running
/// task's parent if it was made a sibling (`CLONE_PARENT`). Threads are not in these lists.
#[inline(always)]
fn newest_child(ctx: &TracePointContext) -> Option<u64> {
    let tid: u32 = read(ctx.as_ptr() as u64, child_at())?;
    let task = current_task();
    for parent in [task, read(task, offset!(task_real_parent))?] {
        let last: u64 = read(parent, offset!(task_children) + 8)?;
        let child = last.wrapping_sub(u64::from(offset!(task_sibling)));
        if read::<u32>(child, offset!(task_pid))? == tid {
            return Some(child);
        }
    }
    None
}

/// True if the other instance has already handled this fork.
#[inline(always)]
fn is_known(child: u32, born_ns: u64) -> bool {
    // SAFETY: the map keeps the element while the program runs.
    OURS.get_ptr(child)
        .is_some_and(|it| unsafe { (*it).born_ns } == born_ns)
}
