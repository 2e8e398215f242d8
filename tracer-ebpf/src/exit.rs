//! The last thread of a traced process exits.

use aya_ebpf::{
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use tracer_abi::{Exit, Kind, Offsets};

use crate::{
    dying,
    kernel::{born, current_task, current_tgid, read},
    maps::{OURS, offset},
    record::{WAKE, header, send},
    redundant::wake,
    waits::{self, Waits},
};

/// `SIGNAL_GROUP_EXIT` of `include/linux/sched/signal.h`.
const GROUP_EXIT: u32 = 4;

/// Most threads whose times are added.
const THREADS_MAX: u32 = 128;

#[btf_tracepoint(function = "sched_process_exit")]
pub fn on_exit(_: BtfTracePointContext) -> i32 {
    record();
    0
}

/// A backup: see `redundant`; the same holds for the next. An exit that the other instance has handled is no longer in `OURS`.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn on_exit_backup(_: BtfTracePointContext) -> i32 {
    record();
    0
}

#[tracepoint]
pub fn on_exit_late(_: TracePointContext) -> u32 {
    record();
    wake();
    0
}

/// `signal->live` counts the threads that have not begun to exit; the kernel decrements it before this tracepoint. Two threads that exit at
/// once may both read zero, but only one of them can delete the entry.
#[inline(always)]
fn record() -> Option<()> {
    let tgid = current_tgid();
    let ours = OURS.get_ptr_mut(tgid)?;
    let task = current_task();
    let signal: u64 = read(task, offset!(task_signal))?;
    if read::<i32>(signal, offset!(signal_live))? != 0 {
        // SAFETY: the map keeps the element while the program runs.
        unsafe { waits::note_exit(ours, task) };
        return None;
    }
    // SAFETY: the map keeps the element while the program runs.
    let (inherited_rss_pages, mut waits) =
        unsafe { ((*ours).inherited_rss_pages, Waits::of_ended(ours)) };
    OURS.remove(tgid).ok()?;
    let born_ns = born(task);
    let mut exit = Exit {
        header: header(Kind::EXIT, size_of::<Exit>() as u64, born_ns),
        utime_ns: read(signal, offset!(signal_utime)).unwrap_or(0),
        stime_ns: read(signal, offset!(signal_stime)).unwrap_or(0),
        runtime_ns: read(signal, offset!(signal_sum_sched_runtime)).unwrap_or(0),
        max_rss_pages: read(signal, offset!(signal_maxrss)).unwrap_or(0),
        inherited_rss_pages,
        own_rss_pages: own_rss_pages(task).unwrap_or(0),
        status: status(task, signal).unwrap_or(0),
        threads: 0,
        run_delay_ns: Exit::UNKNOWN,
        block_io_ns: Exit::UNKNOWN,
        is_oom_victim: is_oom_victim(signal),
        pad: 0,
    };
    let are_all_added = add_threads(&mut exit, &mut waits, signal).is_some();
    [exit.run_delay_ns, exit.block_io_ns] = waits.total_ns(are_all_added);
    send(Kind::EXIT, &exit, WAKE);
    dying::enter(tgid, born_ns);
    Some(())
}

/// Largest resident set of the address space. Since Linux 6.16 it still exists at this moment (`do_exit` of `kernel/exit.c`). The kernel
/// computes the same sum (`get_mm_rss` of `include/linux/mm.h`), which omits parts that are pending on a CPU.
#[inline(always)]
fn own_rss_pages(task: u64) -> Option<u64> {
    /// `MM_FILEPAGES`, `MM_ANONPAGES` and `MM_SHMEMPAGES` of `include/linux/mm_types_task.h`.
    const RESIDENT: [u32; 3] = [0, 1, 3];
    let mm: u64 = read(task, offset!(task_mm))?;
    if mm == 0 || offset!(mm_rss_count) == Offsets::ABSENT {
        return None;
    }
    let mut now = 0;
    for index in RESIDENT {
        let count: i64 = read(
            mm,
            offset!(mm_rss_count) + index * offset!(rss_count_stride),
        )?;
        now += count.max(0) as u64;
    }
    let most: u64 = read(mm, offset!(mm_hiwater_rss))?;
    Some(most.max(now))
}

/// The status that `wait` will report: `wait_task_zombie` of `kernel/exit.c`.
#[inline(always)]
fn status(task: u64, signal: u64) -> Option<u32> {
    if read::<u32>(signal, offset!(signal_flags))? & GROUP_EXIT != 0 {
        return read(signal, offset!(signal_group_exit_code));
    }
    let leader: u64 = read(task, offset!(task_group_leader))?;
    read(leader, offset!(task_exit_code))
}

/// `signal` contains the times of released threads. The thread list still contains this thread, a leader that ended before the others, and
/// threads that are ending at this moment.
/// `None` if one of them could not be read, or if there are too many.
#[inline(always)]
fn add_threads(exit: &mut Exit, waits: &mut Waits, signal: u64) -> Option<()> {
    let head = signal + u64::from(offset!(signal_thread_head));
    let mut node: u64 = read(head, 0)?;
    for _ in 0..THREADS_MAX {
        if node == head {
            return Some(());
        }
        let task = node - u64::from(offset!(task_thread_node));
        exit.utime_ns += read::<u64>(task, offset!(task_utime))?;
        exit.stime_ns += read::<u64>(task, offset!(task_stime))?;
        exit.runtime_ns += read::<u64>(task, offset!(task_sum_exec_runtime))?;
        exit.threads += 1;
        waits.add_listed(task);
        node = read(node, 0)?;
    }
    None
}

/// Not zero if the out-of-memory killer has chosen the process: `mark_oom_victim` of `mm/oom_kill.c` stores its address space, for as long
/// as `signal` lives.
#[inline(always)]
pub fn is_oom_victim(signal: u64) -> u32 {
    if offset!(signal_oom_mm) == Offsets::ABSENT {
        return 0;
    }
    let mm: u64 = read(signal, offset!(signal_oom_mm)).unwrap_or(0);
    u32::from(mm != 0)
}
