//! Which probe was hit, on kernels that have no helper for it (before Linux 5.15): the probe's own name says so.
//!
//! `uprobe_dispatcher` of the kernel's `trace_uprobe.c` leaves a note of the probe at hand with the running task before it runs a program,
//! and the probe has the path it was attached by. `tracer_abi::cookie` tells what that looks like.

use tracer_abi::cookie::{self, DIRECTORY, WORDS};

use crate::{
    kernel::{current_task, read},
    maps::{IS_NAMED, offset},
};

/// Whether cookies are in names. Volatile, as the compiler believes the global to be zero.
#[inline(always)]
pub fn is_named() -> bool {
    // SAFETY: the pointer is that of a live static.
    unsafe { (&raw const IS_NAMED).read_volatile() != 0 }
}

/// The cookie of the probe that this program runs for; nothing where the kernel's memory cannot be read.
#[inline(always)]
pub fn of_name() -> Option<u64> {
    let utask: u64 = read(current_task(), offset!(task_utask))?;
    let dispatch: u64 = read(utask, offset!(utask_vaddr))?;
    let probe: u64 = read(dispatch, offset!(dispatch_probe))?;
    let name: u64 = read(probe, offset!(probe_filename))?;
    let words: [u64; WORDS] = read(name, DIRECTORY.len() as u32)?;
    Some(cookie::read(words))
}
