//! The scheduler's programs a second time, for kernels that can preempt a program at a tracepoint.
//!
//! There a program is skipped while the same one, of a process that was preempted in it, waits on that CPU. So each has a second, and
//! what one was skipped for the other does; it sees in `OURS` whether there is anything left to do, whichever the kernel runs first.
//!
//! The second (`on_*_late`) is at the same tracepoint as perf events are, where the kernel keeps preemption off: it is never skipped for
//! this reason. It is told less of what happened, and it takes tracefs to attach it. Without tracefs the second is the first once more
//! (`on_*_again`), which the kernel takes for another program; then both are skipped where two processes were preempted at once, one in
//! each.
//!
//! The likeliest moment to be preempted is when the reader is woken, by an interrupt to this CPU itself. So where there are seconds
//! nobody does that in passing: word is left, and the late ones do it, or programs of their own (`on_*_wake`), which may be skipped
//! without harm (`docs/kernel-facts.md`).
//!
//! Where no program can be preempted only the first is loaded, and wakes the reader itself.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::maps::{CALLED, CHILD_AT, EVENTS, N_AGAIN};

/// Which of both programs at a hook this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    First,
    Second,
}

/// How many CPUs there are, where each program has a second; else zero. Volatile, as the compiler believes the global to be zero.
#[inline(always)]
pub fn n_again() -> u32 {
    // SAFETY: the pointer is that of a live static.
    unsafe { (&raw const N_AGAIN).read_volatile() }
}

/// Where the child's number lies in the record of a fork.
#[inline(always)]
pub fn child_at() -> u32 {
    // SAFETY: as in `n_again`.
    unsafe { (&raw const CHILD_AT).read_volatile() }
}

/// Submits a record by `submit`, which takes the flags for it; wakes the reader if these say so, at once or by leaving word.
#[inline(always)]
pub fn submit<T>(flags: u64, submit: impl FnOnce(u64) -> T) -> T {
    if n_again() == 0 {
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

/// Wakes the reader if word was left on this CPU. Twice, because the first is when a program of its own is preempted: for those who leave
/// word until it goes on it is skipped.
#[inline(always)]
pub fn wake() -> Option<()> {
    for _ in 0..2 {
        let called = CALLED.get_ptr_mut(0)?;
        // SAFETY: as in `submit`.
        if unsafe { called.read_volatile() } == 0 {
            return None;
        }
        // A record that is taken back: nobody reads it, but it wakes as others do. Without room for it whoever sent last leaves word
        // again.
        let nothing = EVENTS.reserve::<u64>(0)?;
        // SAFETY: as in `submit`.
        unsafe { called.write_volatile(0) };
        nothing.discard(u64::from(BPF_RB_FORCE_WAKEUP));
    }
    Some(())
}
