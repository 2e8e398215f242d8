//! What all records share: the header, and the count of those seen and lost.

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

/// A header for the running thread. `len` is that of the whole record.
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

/// A record of this kind should be sent.
#[inline(always)]
pub fn count_seen(kind: Kind) {
    if let Some(tally) = TALLIES.get_ptr_mut(u32::from(kind.0)) {
        // SAFETY: the map keeps the element while the program runs.
        add_one(unsafe { &raw mut (*tally).seen });
    }
}

/// There was no room for it.
#[inline(always)]
pub fn count_lost(kind: Kind) {
    if let Some(tally) = TALLIES.get_ptr_mut(u32::from(kind.0)) {
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*tally).lost });
    }
}

/// Atomic although the map is per CPU: a uprobe's program can be preempted by another one on the same CPU. Relaxed and with
/// its result unused it is the `xadd` that every BPF kernel has.
#[inline(always)]
fn add_one(counter: *mut u64) {
    // SAFETY: the counter is an aligned word of a live map element, and only ever changed atomically.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}

/// Submit flags of records that the reader acts on at once: a program that may have to be probed, a file to be opened, an end.
pub const WAKE: u64 = BPF_RB_FORCE_WAKEUP as u64;

/// Submit flags of all other records, which wait for the next that wakes the reader, or until a quarter of the ring is taken.
///
/// Waking costs ten times what the rest of a record does: an interrupt to this CPU itself (`irq_work_queue` in
/// `bpf_ringbuf_commit`), on a virtual machine an exit to its host. The kernel's own rule, to wake a reader that had read all there
/// was, wakes a quick reader for each record.
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

/// Sends a record of fixed size, counting it.
#[inline(always)]
pub fn send<T: 'static>(kind: Kind, record: &T, flags: u64) {
    count_seen(kind);
    if submit(flags, |flags| EVENTS.output::<T>(record, flags)).is_err() {
        count_lost(kind);
    }
}
