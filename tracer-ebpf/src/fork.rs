//! A process of ours made another: that one is ours too.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_abi::{Fork, Kind, Ours};

use crate::{
    kernel::{born, current_task, current_tgid, read},
    log::say,
    maps::{OURS, offset},
    record::{count_lost, count_seen, header, send, wake_if_filling},
};

#[btf_tracepoint(function = "sched_process_fork")]
pub fn on_fork(ctx: BtfTracePointContext) -> i32 {
    follow(&ctx);
    0
}

/// Arguments of the tracepoint: the forking task, which is the running one, and the new task, which has not run yet.
#[inline(always)]
fn follow(ctx: &BtfTracePointContext) -> Option<()> {
    let parent = OURS.get_ptr(current_tgid())?;
    let task: u64 = ctx.arg(1);
    let child: u32 = read(task, offset!(task_tgid))?;
    let tid: u32 = read(task, offset!(task_pid))?;
    if child != tid {
        return None; // A thread.
    }
    let child_born_ns: u64 = read(task, offset!(task_start_boottime))?;
    // SAFETY: the map keeps the element while the program runs. Until its exec the child runs its parent's program.
    let target = unsafe { (*parent).target };
    if OURS
        .insert(
            child,
            Ours {
                born_ns: child_born_ns,
                target,
                pad: 0,
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
