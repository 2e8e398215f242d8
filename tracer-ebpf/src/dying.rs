//! What becomes of a process of ours after its exit: its memory is freed, its parent is told and waits for it, the kernel lets go of it.
//! Only then are its times whole (`docs/kernel-facts.md`).
//!
//! The last of this happens after a grace period, in whoever runs at that moment, when another process may have the number: all here goes by
//! number and birth. What is skipped or pushed out of the map is missed: user space waits for it only so long.

use aya_ebpf::{
    helpers::bpf_ktime_get_boot_ns, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use tracer_abi::{Kind, Reaped};

use crate::{
    kernel::{born, current_task, current_tgid, read},
    maps::{DYING, offset},
    record::{header, send, wake_if_filling},
};

/// The same on all machines that gotrace runs on.
const SIGCHLD: i32 = 17;

/// A process whose exit was sent, by number and birth.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Dying {
    born_ns: u64,
    tgid: u64,
}

/// An exit was sent.
#[inline(always)]
pub fn enter(tgid: u32, born_ns: u64) {
    let key = Dying {
        born_ns,
        tgid: tgid.into(),
    };
    // Without room it is missed.
    let _full = DYING.insert(key, 0, 0);
}

/// Arguments of the tracepoint: the signal first. The last `SIGCHLD` of a dying task is the word to its own parent; those before tell of
/// its children (`exit_notify` of `kernel/exit.c`).
#[btf_tracepoint(function = "signal_generate")]
pub fn on_signal(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(0) == SIGCHLD {
        tell();
    }
    0
}

#[inline(always)]
fn tell() -> Option<()> {
    let key = Dying {
        born_ns: born(current_task()),
        tgid: current_tgid().into(),
    };
    let ended = DYING.get_ptr_mut(key)?;
    // SAFETY: the map keeps the element while the program runs, at worst for another process; the helper has no conditions.
    unsafe { ended.write(bpf_ktime_get_boot_ns()) };
    Some(())
}

/// Argument of the tracepoint: the task that nothing refers to any more.
#[btf_tracepoint(function = "sched_process_free")]
pub fn on_free(ctx: BtfTracePointContext) -> i32 {
    reap(ctx.arg(0));
    0
}

/// The leader goes last: by then the times of all its threads are in `signal` (`__exit_signal` of `kernel/exit.c`).
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
    };
    send(Kind::REAPED, &reaped, wake_if_filling());
    Some(())
}
