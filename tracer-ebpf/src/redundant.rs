//! Backups of the scheduler's programs, for kernels that can preempt a program at a tracepoint.
//!
//! Such a kernel skips a program on a CPU while the same program, preempted in another process, has not finished there. Each of the
//! three programs therefore has a backup. A backup does the work that its primary was skipped for. `OURS` shows whether any work is
//! left, whichever of the two the kernel runs first.
//!
//! The preferred backup (`on_*_late`) is attached to the same tracepoint as a perf event. The kernel keeps preemption off there, so this
//! backup is never skipped. It receives fewer facts about the event, and attaching it needs tracefs. Without tracefs the backup is a
//! second copy of the primary (`on_*_backup`), which the kernel treats as another program. Both are skipped if two processes were
//! preempted at once, one in each.
//!
//! Waking the reader raises an interrupt on this CPU, and preemption is most likely then. Where backups exist, a program only sets the
//! flag `CALLED`. The late backups wake the reader, or programs of their own do (`on_*_wake`), which may be skipped without harm
//! (`docs/kernel-facts.md`).
//!
//! Where no program can be preempted, only the primary is loaded, and it wakes the reader itself.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::maps::{CALLED, CHILD_AT, EVENTS, N_BACKUP};

/// One of the two programs at a hook: the running one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Instance {
    Primary,
    Backup,
}

/// The number of CPUs if the programs have backups, else zero. The read is volatile: the compiler assumes that the global is zero.
#[inline(always)]
pub fn n_backup() -> u32 {
    // SAFETY: the pointer is that of a live static.
    unsafe { (&raw const N_BACKUP).read_volatile() }
}

/// The offset of the child's process number in the record of a fork.
#[inline(always)]
pub fn child_at() -> u32 {
    // SAFETY: as in `n_backup`.
    unsafe { (&raw const CHILD_AT).read_volatile() }
}

/// Submits a record by `submit`, which takes the flags for it. If the flags ask for a wake-up, it happens at once, or `CALLED` asks for
/// it.
#[inline(always)]
pub fn submit<T>(flags: u64, submit: impl FnOnce(u64) -> T) -> T {
    if n_backup() == 0 {
        return submit(flags);
    }
    let done = submit(u64::from(BPF_RB_NO_WAKEUP));
    if flags & u64::from(BPF_RB_FORCE_WAKEUP) != 0
        && let Some(called) = CALLED.get_ptr_mut(0)
    {
        // SAFETY: the map keeps the element, and a program does not change CPUs while it runs.
        unsafe { called.write_volatile(1) };
    }
    done
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn on_exec_wake(_: BtfTracePointContext) -> i32 {
    wake();
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn on_exit_wake(_: BtfTracePointContext) -> i32 {
    wake();
    0
}

/// Wakes the reader if `CALLED` is set on this CPU. The second round is for a program that was preempted in the first: while it waits,
/// the kernel skips it for the processes that set `CALLED` meanwhile.
#[inline(always)]
pub fn wake() -> Option<()> {
    for _ in 0..2 {
        let called = CALLED.get_ptr_mut(0)?;
        // SAFETY: as in `submit`.
        if unsafe { called.read_volatile() } == 0 {
            return None;
        }
        // As in `wake_reader`. If the ring has no room, the next program that sends sets `CALLED` again.
        let nothing = EVENTS.reserve::<u64>(0)?;
        // SAFETY: as in `submit`.
        unsafe { called.write_volatile(0) };
        nothing.discard(u64::from(BPF_RB_FORCE_WAKEUP));
    }
    Some(())
}

/// Sends a discarded record: the reader skips it, but it wakes the reader as other records do.
#[inline(always)]
pub fn wake_reader() -> Option<()> {
    let nothing = EVENTS.reserve::<u64>(0)?;
    nothing.discard(u64::from(BPF_RB_FORCE_WAKEUP));
    Some(())
}
