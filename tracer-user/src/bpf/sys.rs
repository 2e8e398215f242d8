//! The system call `bpf`, for commands that `aya` does not have in the required form.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use zerocopy::{Immutable, IntoBytes};

// From `include/uapi/linux/bpf.h`.
pub(super) const BPF_LINK_CREATE: libc::c_long = 28;

/// Makes a command that returns a new descriptor.
///
/// # Safety
///
/// Every pointer in `attr` must be valid for the reads and writes of the command, and the command must return a new descriptor.
pub(super) unsafe fn bpf<T: IntoBytes + Immutable>(
    command: libc::c_long,
    attr: &T,
) -> io::Result<OwnedFd> {
    let bytes = attr.as_bytes();
    // SAFETY: the kernel reads at most `bytes.len()` bytes of the attribute; the caller guarantees that the pointers in it are valid.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, bytes.as_ptr(), bytes.len()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the caller guarantees that the command returns a new descriptor, which has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
