//! The times that the threads of a traced process waited: for a CPU although they could run, and for block devices.
//!
//! The kernel adds up a process's CPU times, but keeps these times for each thread alone. Each thread that exits is therefore added to the
//! entry of its process in `OURS`. The last one adds the threads that the kernel still lists. `COUNTED` contains the added threads, because
//! the kernel lists a thread until it is released, some time after its exit.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_map_lookup_elem};
use tracer_abi::{Exit, Offsets, Ours};

use crate::{
    kernel::{fetch, read_or_zero},
    maps::{COUNTED, offset},
    record::add,
    verifier::branchless::same,
};

/// A thread, by the address of its `task_struct` and its birth. After an exec by another thread than the leader, both leaders have the same
/// number and birth (`de_thread` of `fs/exec.c`).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Thread {
    task: u64,
    born_ns: u64,
}

/// Sums over threads. The walk over the listed threads has no branch here: see `verifier::branchless`.
pub struct Waits {
    run_delay: Wait,
    block_io: Wait,
}

/// A time, and whether it is unknown: a number that is not zero.
#[derive(Clone, Copy)]
struct Wait {
    ns: u64,
    is_unknown: u64,
}

impl Waits {
    /// The waits of the threads that have exited before.
    ///
    /// # Safety
    ///
    /// `ours` points to an element of `OURS`.
    #[inline(always)]
    pub unsafe fn of_ended(ours: *const Ours) -> Self {
        // SAFETY: the caller's promise.
        let ours = unsafe { ours.read() };
        let wait = |ns, is_unknown: u32| Wait {
            ns,
            is_unknown: is_unknown.into(),
        };
        Self {
            run_delay: wait(ours.run_delay_ns, ours.lacks_run_delay),
            block_io: wait(ours.block_io_ns, ours.lacks_block_io),
        }
    }

    /// Adds a thread on the kernel's list, unless it was added at its exit.
    #[inline(always)]
    pub fn add_listed(&mut self, task: u64) {
        // All bits are set if the thread was not added.
        let mask = is_counted(&thread(task)).wrapping_sub(1);
        self.run_delay.add(run_delay(task), mask);
        self.block_io.add(block_io(task), mask);
    }

    /// Both sums; with `false` they are unknown.
    #[inline(always)]
    pub fn total_ns(self, are_all_added: bool) -> [u64; 2] {
        [self.run_delay, self.block_io].map(|it| {
            if are_all_added && it.is_unknown == 0 {
                it.ns
            } else {
                Exit::UNKNOWN
            }
        })
    }
}

impl Wait {
    #[inline(always)]
    fn add(&mut self, more: Self, mask: u64) {
        self.ns = self.ns.wrapping_add(more.ns & mask);
        self.is_unknown |= more.is_unknown & mask;
    }
}

/// One if the thread was added at its exit, else zero. The helper reads zero from a null pointer, so this needs no branch.
#[inline(always)]
fn is_counted(thread: &Thread) -> u64 {
    let map = (&raw const COUNTED).cast_mut().cast();
    // SAFETY: the map lives as long as the program, and its keys are of this type.
    let found = unsafe { bpf_map_lookup_elem(map, (&raw const *thread).cast()) };
    u64::from(read_or_zero::<u32>(found as u64, 0))
}

/// Adds an exiting thread, which is not the last one of its process. A backup finds the thread in `COUNTED`.
///
/// # Safety
///
/// `ours` points to the element of the process in `OURS`.
#[inline(always)]
pub unsafe fn note_exit(ours: *mut Ours, task: u64) -> Option<()> {
    let key = thread(task);
    if COUNTED.get_ptr(key).is_some() {
        return None;
    }
    let is_full = COUNTED.insert(key, 1, u64::from(BPF_NOEXIST)).is_err();
    let (run_delay, block_io) = (run_delay(task), block_io(task));
    // SAFETY: the caller's promise; other threads of the process change the sums only by atomic additions, and the flags only to one.
    unsafe {
        add(&raw mut (*ours).run_delay_ns, run_delay.ns);
        add(&raw mut (*ours).block_io_ns, block_io.ns);
        if is_full || run_delay.is_unknown != 0 {
            (&raw mut (*ours).lacks_run_delay).write_volatile(1);
        }
        if is_full || block_io.is_unknown != 0 {
            (&raw mut (*ours).lacks_block_io).write_volatile(1);
        }
    }
    Some(())
}

#[inline(always)]
fn thread(task: u64) -> Thread {
    let born_ns = read_or_zero(task, offset!(task_start_boottime));
    Thread { task, born_ns }
}

const UNKNOWN: Wait = Wait {
    ns: 0,
    is_unknown: 1,
};

/// A thread that has run has a count above zero, unless the kernel does not keep these times. Before Linux 5.14 a boot parameter could switch
/// them off (`sched_info_on` of `kernel/sched/stats.h`).
#[inline(always)]
fn run_delay(task: u64) -> Wait {
    if offset!(task_sched_run_delay) == Offsets::ABSENT {
        return UNKNOWN;
    }
    let mut failed = 0;
    let pcount: u64 = fetch(task, offset!(task_sched_pcount), &mut failed);
    let ns = fetch(task, offset!(task_sched_run_delay), &mut failed);
    let is_unknown = failed | same(pcount, 0);
    Wait { ns, is_unknown }
}

/// Without delay accounting, which is off by default since Linux 5.14, a thread has no counters (`delayacct_tsk_init`), and the read of them
/// fails.
#[inline(always)]
fn block_io(task: u64) -> Wait {
    if offset!(task_delays) == Offsets::ABSENT || offset!(delays_blkio) == Offsets::ABSENT {
        return UNKNOWN;
    }
    let mut is_unknown = 0;
    let delays: u64 = fetch(task, offset!(task_delays), &mut is_unknown);
    let ns = fetch(delays, offset!(delays_blkio), &mut is_unknown);
    Wait { ns, is_unknown }
}
