//! Space for records that are too large for the stack and whose size is not known beforehand.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ringbuf_output};
use tracer_abi::{BLOCK_MAX, Exec, PATH_MAX};

use crate::{
    bound::opaque,
    maps::{EVENTS, SCRATCH},
    record::WAKE,
    turn::{Turn, n_again, submit},
};

/// Everything an `Exec` can hold, and a page for the verifier, which adds up the limits of an offset and of a length without
/// seeing that one was subtracted from the other.
const LEN: usize = size_of::<Exec>() + 2 * BLOCK_MAX + 2 * PATH_MAX + 4096;

/// One CPU's space.
#[repr(C)]
pub struct Scratch {
    /// Not zero while a program is using it.
    busy: u64,
    /// See [`Taken::forget`].
    spare: u64,
    bytes: [u8; LEN],
}

/// A program's space on the running CPU, taken until [`Taken::free`] is called.
///
/// Where a program of the scheduler's tracepoints can be preempted, the kernel skips it for others on that CPU until it goes on, and
/// its second has a space of its own (`turn`). None of them nests in another: should one ever, it finds the space taken and its record
/// counts as lost.
pub struct Taken(*mut Scratch);

impl Taken {
    #[inline(always)]
    pub fn take(turn: Turn) -> Option<Self> {
        // SAFETY: the helper has no conditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let at = match turn {
            Turn::First => cpu,
            Turn::Second => cpu + n_again(),
        };
        let scratch = SCRATCH.get_ptr_mut(at)?;
        // SAFETY: the map keeps the element, and a program does not change CPUs while it runs.
        let busy = unsafe { &raw mut (*scratch).busy };
        // SAFETY: as above; volatile, so that both accesses happen where they are written.
        if unsafe { busy.read_volatile() } != 0 {
            return None;
        }
        // SAFETY: as above.
        unsafe { busy.write_volatile(1) };
        Some(Self(scratch))
    }

    /// The same number, of which the verifier knows nothing: it does not remember what was written to a map. Without this it follows
    /// every length that an earlier read can have had through all that comes after, and gives up after a million steps.
    #[inline(always)]
    pub fn forget(&self, n: u64) -> u64 {
        // SAFETY: the map keeps the element; no other program uses it.
        let spare = unsafe { &raw mut (*self.0).spare };
        // SAFETY: as above.
        unsafe { spare.write_volatile(n) };
        // SAFETY: as above.
        unsafe { spare.read_volatile() }
    }

    /// Start of the record.
    #[inline(always)]
    pub fn bytes(&self) -> *mut u8 {
        // SAFETY: only an address is made.
        unsafe { (&raw mut (*self.0).bytes).cast() }
    }

    /// Sends the first `len` bytes and wakes the reader; false if the ring buffer has no room.
    #[inline(always)]
    pub fn send(&self, len: u64) -> bool {
        let len = opaque(len);
        if len > LEN as u64 {
            return false;
        }
        let ring = (&raw const EVENTS).cast_mut().cast();
        // SAFETY: the first `len` bytes of the element are initialized, as all map memory is.
        submit(WAKE, |flags| unsafe {
            bpf_ringbuf_output(ring, self.bytes().cast(), len, flags) == 0
        })
    }

    #[inline(always)]
    pub fn free(self) {
        // SAFETY: as in `take`.
        unsafe { (&raw mut (*self.0).busy).write_volatile(0) };
    }
}
