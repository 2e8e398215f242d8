//! Writers of an open file: whether the kernel reports all of them, and whether there is one now.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use rustix::fs::{FsWord, fstatfs};

use super::Opened;

/// File systems on which a content changes only through a writer in this kernel (`include/uapi/linux/magic.h`): ext2 to ext4, XFS,
/// Btrfs, F2FS and tmpfs. The content of others also changes on a server or in a program of the builder. On overlayfs, a mapping
/// outlives its writer, because it belongs to the file below.
pub const LOCAL_FILE_SYSTEMS: &[FsWord] =
    &[0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// From `include/uapi/asm-generic/fcntl.h`; `libc` has it for some targets only.
const F_SETSIG: libc::c_int = 10;

impl Opened {
    /// True if the file is on one of these file systems.
    pub fn is_on(&self, file_systems: &[FsWord]) -> bool {
        fstatfs(&self.file).is_ok_and(|it| file_systems.contains(&it.f_type))
    }

    /// True if no process has the file open or mapped for writing. Takes a lease and gives it up at once, because the kernel grants it
    /// only then. A process that opens the file in this moment waits for some microseconds. Without `CAP_LEASE`, the kernel grants no
    /// lease on a file of another user, so this returns false.
    pub fn has_no_writer(&self) -> bool {
        has_no_writer(&self.file)
    }
}

fn has_no_writer(file: &File) -> bool {
    let fd = file.as_raw_fd();
    // The kernel signals the holder if a process opens the file in this moment. SIGURG is ignored by default; SIGIO ends a process.
    // SAFETY: an open descriptor; the argument is a number.
    let has_signal = unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) } == 0;
    // SAFETY: as above.
    let is_granted = has_signal && unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } == 0;
    if is_granted {
        // SAFETY: as above.
        unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    }
    is_granted
}
