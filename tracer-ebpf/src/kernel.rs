//! Reading structures of the running kernel. All reads are `bpf_probe_read_kernel`: a bad pointer is `None`, never a fault.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel};

use crate::maps::offset;

/// The value of type `T` that lies `offset` bytes behind `base`.
#[inline(always)]
pub fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address; `T` is an integer at every call.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
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

/// When the process of `task` was born: `start_boottime` of its leader; zero if that cannot be read.
#[inline(always)]
pub fn born(task: u64) -> u64 {
    read::<u64>(task, offset!(task_group_leader))
        .and_then(|leader| read(leader, offset!(task_start_boottime)))
        .unwrap_or(0)
}
