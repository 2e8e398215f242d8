//! The path of a dentry, as its components from the last to the root of the process.
//!
//! `bpf_d_path` is not allowed in the scheduler's tracepoints (its allow-list is in `kernel/trace/bpf_trace.c`), so this is the
//! walk of `prepend_path` in `fs/d_path.c` without its locks: a rename of a parent directory at this very moment can mix both paths.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_abi::{DEPTH_MAX, PATH_MAX};

use crate::{bound::opaque, kernel::read, maps::offset, scratch::Taken};

/// Longest name of a component.
const NAME_MAX: u64 = 255;

/// Components, and the mounts that are crossed between them.
const STEPS_MAX: usize = DEPTH_MAX + 16;

/// A place in the tree of mounts: what the kernel calls `struct path`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub mnt: u64,
    pub dentry: u64,
}

impl Place {
    /// Reads the `struct path` that lies `offset` bytes behind `base`.
    #[inline(always)]
    pub fn read(base: u64, offset: u32) -> Option<Self> {
        let path = base + u64::from(offset);
        Some(Self {
            mnt: read(path, offset!(path_mnt))?,
            dentry: read(path, offset!(path_dentry))?,
        })
    }
}

/// How a walk ended.
pub struct Walked {
    /// Bytes written.
    pub len: u64,
    pub is_cut: bool,
    pub is_unreadable: bool,
}

/// Writes the components of `from` up to `root` to `to`, at most `PATH_MAX` bytes.
#[inline(always)]
pub fn walk(scratch: &Taken, to: *mut u8, from: Option<Place>, root: Option<Place>) -> Walked {
    const UNREADABLE: Walked = Walked {
        len: 0,
        is_cut: false,
        is_unreadable: true,
    };
    let (Some(from), Some(root)) = (from, root) else {
        return UNREADABLE;
    };
    let mut at = from;
    let mut len = 0;
    for _ in 0..STEPS_MAX {
        match step(to, len, at, root) {
            Some(Step::Up { place, len: longer }) => (at, len) = (place, scratch.forget(longer)),
            Some(Step::Root) => {
                return Walked {
                    len,
                    is_cut: false,
                    is_unreadable: false,
                };
            }
            Some(Step::Full) => {
                return Walked {
                    len,
                    is_cut: true,
                    is_unreadable: false,
                };
            }
            None => return UNREADABLE,
        }
    }
    Walked {
        len,
        is_cut: true,
        is_unreadable: false,
    }
}

enum Step {
    Up { place: Place, len: u64 },
    Root,
    Full,
}

#[inline(always)]
fn step(to: *mut u8, len: u64, at: Place, root: Place) -> Option<Step> {
    if at == root {
        return Some(Step::Root);
    }
    if at.dentry == read::<u64>(at.mnt, offset!(vfsmount_mnt_root))? {
        // `real_mount`: the `struct mount` that this `struct vfsmount` is a member of.
        let mount = at.mnt - u64::from(offset!(mount_mnt));
        let above: u64 = read(mount, offset!(mount_parent))?;
        if above == mount {
            return Some(Step::Root);
        }
        let place = Place {
            mnt: above + u64::from(offset!(mount_mnt)),
            dentry: read(mount, offset!(mount_mountpoint))?,
        };
        return Some(Step::Up { place, len });
    }
    let parent: u64 = read(at.dentry, offset!(dentry_parent))?;
    if parent == at.dentry {
        return Some(Step::Root); // Not connected to any mount.
    }
    let name = at.dentry + u64::from(offset!(dentry_name));
    let n = opaque(u64::from(read::<u32>(name, offset!(qstr_len))?));
    let len = opaque(len);
    if n > NAME_MAX || len > PATH_MAX as u64 - NAME_MAX - 1 {
        return Some(Step::Full);
    }
    let text: u64 = read(name, offset!(qstr_name))?;
    // SAFETY: the caller's buffer holds `PATH_MAX` bytes, and `len + n + 1` was just found to be no more.
    if unsafe { bpf_probe_read_kernel(to.add(len as usize).cast(), n as u32, text as *const _) }
        != 0
    {
        return None;
    }
    let end = len + n;
    // SAFETY: as above.
    unsafe { to.add(end as usize).write(0) };
    Some(Step::Up {
        place: Place {
            mnt: at.mnt,
            dentry: parent,
        },
        len: end + 1,
    })
}
