//! All state of the programs. `tracer_abi::map` names the maps that both sides share; the others are private to this side.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use tracer_abi::{
    Kind, NAMES_MAX, Name, Offsets, Ours, PREFIXES_MAX, Prefix, SPECS_MAX, Spec, TARGETS, Tally,
};

use crate::{
    dying::Dying,
    scratch::Scratch,
    span::{Goroutine, Open},
    waits::Thread,
};

/// The size is set when the object is loaded.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
pub static TALLIES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(Kind::COUNT, 0);

/// Not preallocated: 65,536 preallocated entries take 5 MiB of kernel memory. A preallocated element that a program still reads is also
/// given to another process at once, instead of after the RCU grace period.
#[map]
pub static OURS: HashMap<u32, Ours> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);

/// The time at which the parent was notified of the end of a process whose exit was sent; zero until then. LRU, because a final record may
/// be missed.
#[map]
pub static DYING: LruHashMap<Dying, u64> = LruHashMap::with_max_entries(8192, 0);

/// Threads that have exited before the last thread of their process: see `waits`. LRU, because nothing removes a thread.
#[map]
pub static COUNTED: LruHashMap<Thread, u32> = LruHashMap::with_max_entries(2048, 0);

/// The program that recorded the last rename of a thread, until the other one has run: see `rename`. LRU, as above.
#[map]
pub static RENAMING: LruHashMap<u32, u32> = LruHashMap::with_max_entries(1024, 0);

#[map]
pub static SPECS: Array<Spec> = Array::with_max_entries(SPECS_MAX as u32, 0);

#[map]
pub static NAMES: Array<Name> = Array::with_max_entries(NAMES_MAX as u32, 0);

#[map]
pub static PREFIXES: Array<Prefix> = Array::with_max_entries(PREFIXES_MAX as u32, 0);

/// Open spans of each goroutine. LRU, so that a process that ends inside a span leaves no entry.
#[map]
pub static SPANS: LruHashMap<Goroutine, Open> = LruHashMap::with_max_entries(16_384, 0);

#[map]
pub static DETAIL: Array<u32> = Array::with_max_entries(1, 0);

#[map]
pub static RELEASED: Array<u64> = Array::with_max_entries(TARGETS / 64, 0);

/// Not zero if the reader of a CPU's records must be woken: see `redundant`.
#[map]
pub static CALLED: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// A plain array indexed by CPU, because an element of a per-CPU array cannot be larger than 32 KiB.
#[map]
pub static SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// See `redundant::n_backup`.
#[unsafe(no_mangle)]
pub static N_BACKUP: u32 = 0;

/// Offset of the child's number in the record of `sched_process_fork`.
#[unsafe(no_mangle)]
pub static CHILD_AT: u32 = 0;

/// See `cookie::is_named`.
#[unsafe(no_mangle)]
pub static IS_NAMED: u32 = 0;

/// Not zero if the context of a program at a system call's tracepoint begins with the address of the process's registers. Before Linux 5.15
/// no helper returns that address (`docs/kernel-facts.md`).
#[unsafe(no_mangle)]
pub static ARE_REGISTERS_FIRST: u32 = 0;

/// Set when the object is loaded; the kernel then treats it as constant.
// SAFETY: all members are integers, which may be zero.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = unsafe { core::mem::zeroed() };

/// All offsets; read one with `offset!`.
pub const fn offsets() -> *const Offsets {
    &raw const OFFSETS
}

/// Byte offset of a member in the running kernel. The read is volatile: the compiler assumes that the global is all zeroes.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: the pointer is that of a live static.
        unsafe { core::ptr::read_volatile(&raw const (*$crate::maps::offsets()).$field) }
    };
}
pub(crate) use offset;
