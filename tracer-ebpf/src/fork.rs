//! A process of ours made another: that one is ours too.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_abi::{Fork, Kind, Ours};

use crate::{
    kernel::{born, current_task, current_tgid, read},
    log::say,
    maps::{OURS, offset},
    record::{count_lost, count_seen, header, send, wake_if_filling},
    turn::Turn,
};

#[btf_tracepoint(function = "sched_process_fork")]
pub fn on_fork(ctx: BtfTracePointContext) -> i32 {
    follow(&ctx, Turn::First);
    0
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn on_fork_again(ctx: BtfTracePointContext) -> i32 {
    follow(&ctx, Turn::Second);
    0
}

/// Arguments of the tracepoint: the forking task, which is the running one, and the new task, which has not run yet.
#[inline(always)]
fn follow(ctx: &BtfTracePointContext, turn: Turn) -> Option<()> {
    let parent = OURS.get_ptr(current_tgid())?;
    let task: u64 = ctx.arg(1);
    let child: u32 = read(task, offset!(task_tgid))?;
    let tid: u32 = read(task, offset!(task_pid))?;
    if child != tid {
        return None; // A thread.
    }
    let child_born_ns: u64 = read(task, offset!(task_start_boottime))?;
    if turn == Turn::Second && is_known(child, child_born_ns) {
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
                exec: 0,
            },
            0,
        )
        .is_err()
    {
        count_seen(Kind::TRACK);
        count_lost(Kind::TRACK);
    }
    say!(ctx, "fork of {}", child);
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

/// Whether the first of both programs has seen this fork.
#[inline(always)]
fn is_known(child: u32, born_ns: u64) -> bool {
    // SAFETY: the map keeps the element while the program runs.
    OURS.get_ptr(child)
        .is_some_and(|it| unsafe { (*it).born_ns } == born_ns)
}
