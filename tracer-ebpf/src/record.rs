//! The parts that all records share: the header, and the counters of records seen and lost.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns,
        bpf_ringbuf_query,
    },
};
use tracer_abi::{Header, Kind};

use crate::{
    maps::{EVENTS, TALLIES},
    redundant::submit,
};

/// A header for the running thread. `len` is the length of the whole record.
#[inline(always)]
pub fn header(kind: Kind, len: u64, born_ns: u64) -> Header {
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: these helpers have no conditions.
    let (cpu, ktime_ns) = unsafe { (bpf_get_smp_processor_id(), bpf_ktime_get_boot_ns()) };
    Header {
        kind,
        cpu: cpu as u16,
        len: len as u32,
        ktime_ns,
        born_ns,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
    }
}

/// Counts a record of this kind that should be sent.
#[inline(always)]
pub fn count_seen(kind: Kind) {
    if let Some(tally) = TALLIES.get_ptr_mut(u32::from(kind.0)) {
        // SAFETY: the map keeps the element while the program runs.
        add_one(unsafe { &raw mut (*tally).seen });
    }
}

/// Counts a record that the ring buffer had no room for.
#[inline(always)]
pub fn count_lost(kind: Kind) {
    if let Some(tally) = TALLIES.get_ptr_mut(u32::from(kind.0)) {
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*tally).lost });
    }
}

#[inline(always)]
fn add_one(counter: *mut u64) {
    add(counter, 1);
}

/// The addition is atomic although the map is per CPU: another program on the same CPU can preempt a uprobe's program. A relaxed addition
/// with an unused result is the `xadd` that every BPF kernel has.
#[inline(always)]
pub fn add(counter: *mut u64, n: u64) {
    // SAFETY: the counter is an aligned word of a live map element, and is changed only by atomic operations.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, n) };
}

/// Submit flags of records that the reader handles at once: a program that may need probes, a file to open, an exit.
pub const WAKE: u64 = BPF_RB_FORCE_WAKEUP as u64;

/// Submit flags of all other records. They wait for the next record that wakes the reader, or until a quarter of the ring is full.
///
/// A wake-up costs ten times as much as the rest of a record: it raises an interrupt on this CPU (`irq_work_queue` in
/// `bpf_ringbuf_commit`). On a virtual machine this exits to the host. The kernel's default rule wakes a reader that had read everything,
/// so a fast reader would be woken for each record.
#[inline(always)]
pub fn wake_if_filling() -> u64 {
    let ring = (&raw const EVENTS).cast_mut().cast();
    // SAFETY: the map lives as long as the program; both queries only read its positions.
    let (taken, size) = unsafe {
        (
            bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)),
            bpf_ringbuf_query(ring, u64::from(BPF_RB_RING_SIZE)),
        )
    };
    if taken > size / 4 {
        WAKE
    } else {
        BPF_RB_NO_WAKEUP as u64
    }
}

/// Sends a record of fixed size and counts it.
#[inline(always)]
pub fn send<T: 'static>(kind: Kind, record: &T, flags: u64) {
    count_seen(kind);
    if submit(flags, |flags| EVENTS.output::<T>(record, flags)).is_err() {
        count_lost(kind);
    }
}
