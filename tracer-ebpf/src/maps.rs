//! All state of the programs. What both sides share is named in `tracer_abi::map`; `SPANS` and `DYING` are private to this side.

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
};

/// Its size is set when the object is loaded.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
pub static TALLIES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(Kind::COUNT, 0);

/// Not preallocated: 65,536 preallocated entries are 5 MiB of kernel memory, and an element that a program still looks at is
/// then given to another process at once instead of after the RCU grace period.
#[map]
pub static OURS: HashMap<u32, Ours> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);

/// When the parent was told of the end of a process whose exit was sent; zero until then. LRU, because the end of one may be missed.
#[map]
pub static DYING: LruHashMap<Dying, u64> = LruHashMap::with_max_entries(8192, 0);

#[map]
pub static SPECS: Array<Spec> = Array::with_max_entries(SPECS_MAX as u32, 0);

#[map]
pub static NAMES: Array<Name> = Array::with_max_entries(NAMES_MAX as u32, 0);

#[map]
pub static PREFIXES: Array<Prefix> = Array::with_max_entries(PREFIXES_MAX as u32, 0);

/// Open spans of each goroutine. LRU, so that a process that ends inside a span leaves nothing behind.
#[map]
pub static SPANS: LruHashMap<Goroutine, Open> = LruHashMap::with_max_entries(16_384, 0);

#[map]
pub static DETAIL: Array<u32> = Array::with_max_entries(1, 0);

#[map]
pub static RELEASED: Array<u64> = Array::with_max_entries(TARGETS / 64, 0);

/// Not zero while the reader of a CPU's records is to be woken: see `redundant`.
#[map]
pub static CALLED: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// A plain array indexed by CPU, because an element of a per-CPU array cannot be larger than 32 KiB.
#[map]
pub static SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// See `redundant::n_backup`.
#[unsafe(no_mangle)]
pub static N_BACKUP: u32 = 0;

/// Where the child's number lies in the record of `sched_process_fork`.
#[unsafe(no_mangle)]
pub static CHILD_AT: u32 = 0;

/// See `cookie::is_named`.
#[unsafe(no_mangle)]
pub static IS_NAMED: u32 = 0;

/// Not zero where the first word of what a program at a system call's tracepoint is given is the address of the process's registers, and
/// no helper tells it: before Linux 5.15 (`docs/kernel-facts.md`).
#[unsafe(no_mangle)]
pub static ARE_REGISTERS_FIRST: u32 = 0;

/// Filled in when the object is loaded; the kernel then treats it as constant.
// SAFETY: all members are integers, which may be zero.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = unsafe { core::mem::zeroed() };

/// All offsets; read one with `offset!`.
pub const fn offsets() -> *const Offsets {
    &raw const OFFSETS
}

/// Byte offset of a member in the running kernel. Volatile, as the compiler believes the global to be all zeroes.
macro_rules! offset {
    ($field:ident) => {
        // SAFETY: the pointer is that of a live static.
        unsafe { core::ptr::read_volatile(&raw const (*$crate::maps::offsets()).$field) }
    };
}
pub(crate) use offset;
