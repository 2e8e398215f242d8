//! The steps after the exit of a traced process: its memory is freed, its parent is notified and waits for it, the kernel releases it. Its
//! times are complete only after that (`docs/kernel-facts.md`).
//!
//! The release happens after a grace period, in whichever task runs at that moment. Another process may have the number by then, so all
//! lookups use number and birth. A release that is skipped, or evicted from the map, is missed: user space waits for it only for a limited
//! time.

use aya_ebpf::{
    helpers::bpf_ktime_get_boot_ns, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use tracer_abi::{Kind, Reaped};

use crate::{
    exit::is_oom_victim,
    kernel::{born, current_task, current_tgid, read},
    maps::{DYING, offset},
    record::{header, send, wake_if_filling},
};

/// The number is the same on all machines that gotrace runs on.
const SIGCHLD: i32 = 17;

/// A process whose exit was sent, by number and birth.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Dying {
    born_ns: u64,
    tgid: u64,
}

/// Adds a process whose exit was sent.
#[inline(always)]
pub fn enter(tgid: u32, born_ns: u64) {
    let key = Dying {
        born_ns,
        tgid: tgid.into(),
    };
    // If the map is full, the release is missed.
    let _full = DYING.insert(key, 0, 0);
}

/// The signal is the first argument of the tracepoint. The last `SIGCHLD` of a dying task notifies its own parent; earlier ones come from
/// its children (`exit_notify` of `kernel/exit.c`).
#[btf_tracepoint(function = "signal_generate")]
pub fn on_signal(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(0) == SIGCHLD {
        note_parent_notified();
    }
    0
}

#[inline(always)]
fn note_parent_notified() -> Option<()> {
    let key = Dying {
        born_ns: born(current_task()),
        tgid: current_tgid().into(),
    };
    let ended = DYING.get_ptr_mut(key)?;
    // SAFETY: the map keeps the element while the program runs, possibly for another process; the helper has no conditions.
    unsafe { ended.write(bpf_ktime_get_boot_ns()) };
    Some(())
}

/// The argument of the tracepoint is a task without references.
#[btf_tracepoint(function = "sched_process_free")]
pub fn on_free(ctx: BtfTracePointContext) -> i32 {
    reap(ctx.arg(0));
    0
}

/// The leader is released last: by then `signal` contains the times of all its threads (`__exit_signal` of `kernel/exit.c`).
#[inline(always)]
fn reap(task: u64) -> Option<()> {
    if read::<u64>(task, offset!(task_group_leader))? != task {
        return None;
    }
    let tgid: u32 = read(task, offset!(task_tgid))?;
    let born_ns: u64 = read(task, offset!(task_start_boottime))?;
    let key = Dying {
        born_ns,
        tgid: tgid.into(),
    };
    // SAFETY: the map keeps the element while the program runs.
    let ended_ns = unsafe { *DYING.get_ptr(key)? };
    DYING.remove(key).ok()?;
    let signal: u64 = read(task, offset!(task_signal))?;
    let mut header = header(Kind::REAPED, size_of::<Reaped>() as u64, born_ns);
    header.tgid = tgid;
    header.tid = tgid;
    let reaped = Reaped {
        header,
        utime_ns: read(signal, offset!(signal_utime))?,
        stime_ns: read(signal, offset!(signal_stime))?,
        runtime_ns: read(signal, offset!(signal_sum_sched_runtime))?,
        ended_ns,
        // The mark can follow the signal that ends the process, and so its exit.
        is_oom_victim: is_oom_victim(signal),
        pad: 0,
    };
    send(Kind::REAPED, &reaped, wake_if_filling());
    Some(())
}
