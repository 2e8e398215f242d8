//! Identifies the probe that was hit on kernels without a helper for it (before Linux 5.15): the probe's own name contains the cookie.
//!
//! Before the kernel's `uprobe_dispatcher` (`trace_uprobe.c`) runs a program, it stores a pointer to the probe in the running task. The
//! probe contains the path that it was attached by. `tracer_abi::cookie` defines the encoding.

use tracer_abi::cookie::{self, DIRECTORY, WORDS};

use crate::{
    kernel::{current_task, read},
    maps::{IS_NAMED, offset},
};

/// True if names contain cookies. The read is volatile: the compiler assumes that the global is zero.
#[inline(always)]
pub fn is_named() -> bool {
    // SAFETY: the pointer is that of a live static.
    unsafe { (&raw const IS_NAMED).read_volatile() != 0 }
}

/// The cookie of the probe that this program runs for; `None` if the kernel's memory cannot be read.
#[inline(always)]
pub fn of_name() -> Option<u64> {
    let utask: u64 = read(current_task(), offset!(task_utask))?;
    let dispatch: u64 = read(utask, offset!(utask_vaddr))?;
    let probe: u64 = read(dispatch, offset!(dispatch_probe))?;
    let name: u64 = read(probe, offset!(probe_filename))?;
    let words: [u64; WORDS] = read(name, DIRECTORY.len() as u32)?;
    Some(cookie::decode(words))
}
