//! Reads structures of the running kernel. All reads use `bpf_probe_read_kernel`: a bad pointer never faults.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel,
    generated::bpf_probe_read_kernel as copy_kernel,
};

use crate::maps::offset;

/// The value of type `T` at `offset` bytes after `base`.
#[inline(always)]
pub fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address; `T` is an integer at every call.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// The same without a branch (see `verifier::branchless`). If the value cannot be read, the result is zero and `failed` is not.
#[inline(always)]
pub fn fetch<T: Copy>(base: u64, offset: u32, failed: &mut u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let from = base.wrapping_add(u64::from(offset)) as *const _;
    // SAFETY: the helper checks the address and writes the given number of bytes; zeroes if it cannot read.
    let ret = unsafe { copy_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from) };
    *failed |= ret as u64;
    // SAFETY: the helper wrote it; `T` is an integer at every call.
    unsafe { value.assume_init() }
}

/// The same for callers that treat a failure as zero.
#[inline(always)]
pub fn read_or_zero<T: Copy>(base: u64, offset: u32) -> T {
    fetch(base, offset, &mut 0)
}

/// Thread group of the running thread.
#[inline(always)]
pub fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// `task_struct` of the running thread.
#[inline(always)]
pub fn current_task() -> u64 {
    // SAFETY: the helper has no conditions.
    unsafe { bpf_get_current_task() }
}

/// The time at which the process of `task` started: `start_boottime` of its leader; zero if it cannot be read.
#[inline(always)]
pub fn born(task: u64) -> u64 {
    read::<u64>(task, offset!(task_group_leader))
        .and_then(|leader| read(leader, offset!(task_start_boottime)))
        .unwrap_or(0)
}
