//! The scheduler's programs a second time, for kernels that can preempt a program at a tracepoint.
//!
//! There a program is skipped while the same one, of a process that was preempted in it, waits on that CPU. So each is there twice, and
//! what the first was skipped for the second does; it sees in `OURS` whether there is anything left to do. Being loaded twice they are
//! two programs to the kernel. Both are skipped only where two processes were preempted at once, one in each.
//!
//! The likeliest moment for that is when the reader is woken, by an interrupt to this CPU itself. So there neither of them does it: they
//! leave word, and a third program, which is skipped without harm, does (`docs/kernel-facts.md`).
//!
//! Where no program can be preempted only the first is loaded, and wakes the reader itself.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::maps::{CALLED, EVENTS, N_AGAIN};

/// Which of both programs at a hook this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    First,
    Second,
}

/// How many CPUs there are, where each program is there twice; else zero. Volatile, as the compiler believes the global to be zero.
#[inline(always)]
pub fn n_again() -> u32 {
    // SAFETY: the pointer is that of a live static.
    unsafe { (&raw const N_AGAIN).read_volatile() }
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

/// Wakes the reader if word was left on this CPU. Twice, because the first is when this program is preempted: for those who leave word
/// until it goes on it is skipped.
#[inline(always)]
fn wake() -> Option<()> {
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
