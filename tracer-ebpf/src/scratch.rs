//! Buffers for records that are too large for the stack and whose size is not known in advance.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ringbuf_output};
use tracer_abi::{BLOCK_MAX, Exec, PATH_MAX};

use crate::{
    maps::{EVENTS, SCRATCH},
    record::WAKE,
    redundant::{Instance, n_backup, submit},
    verifier::bounds::opaque,
};

/// The largest `Exec`, and a page for the verifier. The verifier adds the bounds of an offset and a length, and does not see that one was
/// subtracted from the other.
const LEN: usize = size_of::<Exec>() + 2 * BLOCK_MAX + 2 * PATH_MAX + 4096;

/// The buffer of one CPU, or of its backup programs.
#[repr(C)]
pub struct Scratch {
    /// Not zero while a program uses the buffer.
    busy: u64,
    /// See [`Laundry`].
    laundered: u64,
    bytes: [u8; LEN],
}

/// The buffer of the running CPU, reserved for one program until [`ScratchSlot::release`] is called.
///
/// While a program is preempted, the kernel skips it for other processes on that CPU. Its backup has a buffer of its own (`redundant`). No
/// program nests in another. If one ever did, it would find the buffer reserved, and its record would count as lost.
pub struct ScratchSlot(*mut Scratch);

impl ScratchSlot {
    #[inline(always)]
    pub fn acquire(instance: Instance) -> Option<Self> {
        // SAFETY: the helper has no conditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let at = match instance {
            Instance::Primary => cpu,
            Instance::Backup => cpu + n_backup(),
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

    /// See [`Laundry::launder`].
    #[inline(always)]
    pub fn launder(&self, n: u64) -> u64 {
        self.laundry().launder(n)
    }

    #[inline(always)]
    pub fn laundry(&self) -> Laundry {
        // SAFETY: this only computes an address.
        Laundry(unsafe { &raw mut (*self.0).laundered })
    }

    /// The start of the record.
    #[inline(always)]
    pub fn bytes(&self) -> *mut u8 {
        // SAFETY: this only computes an address.
        unsafe { (&raw mut (*self.0).bytes).cast() }
    }

    /// Sends the first `len` bytes and wakes the reader. Returns false if the ring buffer has no room.
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
    pub fn release(self) {
        // SAFETY: as in `acquire`.
        unsafe { (&raw mut (*self.0).busy).write_volatile(0) };
    }
}

/// A number in the buffer of a [`ScratchSlot`], for as long as the buffer is reserved.
#[derive(Clone, Copy)]
pub struct Laundry(*mut u64);

impl Laundry {
    /// Returns `n`; the verifier has no bounds of the result, because it does not track values in maps. Otherwise it would check the rest
    /// of the program for each possible length of an earlier read, and reject the program after a million steps.
    #[inline(always)]
    pub fn launder(self, n: u64) -> u64 {
        // SAFETY: the map keeps the element; no other program uses it.
        unsafe { self.0.write_volatile(n) };
        // SAFETY: as above.
        unsafe { self.0.read_volatile() }
    }
}
