//! The path of a dentry, as its components from the last to the root of the process.
//!
//! `bpf_d_path` is not allowed in the scheduler's tracepoints (its allow-list is in `kernel/trace/bpf_trace.c`), so this is the
//! walk of `prepend_path` in `fs/d_path.c` without its locks: a rename of a parent directory at this very moment can mix both paths.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_abi::{DEPTH_MAX, PATH_MAX};

use crate::{
    kernel::{fetch, read_or_zero},
    maps::offset,
    scratch::ScratchSlot,
    verifier::bounds::{behind_masked, opaque},
    verifier::branchless::{choose, less, same},
};

/// Longest name of a component.
const NAME_MAX: u64 = 255;

/// Bytes after which no more name is written: any would fit.
const LEN_MAX: u64 = PATH_MAX as u64 - NAME_MAX - 1;

/// Components, and the mounts that are crossed between them.
const STEPS_MAX: usize = DEPTH_MAX + 16;

/// A place in the tree of mounts: what the kernel calls `struct path`. Zeroes where it could not be read.
#[derive(Clone, Copy)]
pub struct Place {
    pub mnt: u64,
    pub dentry: u64,
}

impl Place {
    /// Reads the `struct path` that lies `offset` bytes behind `base`.
    #[inline(always)]
    pub fn read(base: u64, offset: u32) -> Self {
        let path = base.wrapping_add(u64::from(offset));
        Self {
            mnt: read_or_zero(path, offset!(path_mnt)),
            dentry: read_or_zero(path, offset!(path_dentry)),
        }
    }
}

/// How a walk ended.
pub struct Walked {
    /// Bytes written.
    pub len: u64,
    /// Masks.
    pub is_cut: u64,
    pub is_unreadable: u64,
}

// What ends a walk, as bits, since several can be true at once.
const ROOT: u64 = 1;
const FULL: u64 = 2;
const UNREADABLE: u64 = 4;

/// Writes the components of `from` up to `root` to `to`, at most `PATH_MAX` bytes. `to` has room for twice as many.
///
/// A step has no branch but the one that ends the walk, see `verifier::branchless`.
#[inline(always)]
pub fn walk(scratch: &ScratchSlot, to: *mut u8, from: Place, root: Place) -> Walked {
    // A walk to an unknown root would end at another one.
    let is_known = !same(root.dentry, 0);
    let mut at = Place {
        mnt: from.mnt & is_known,
        dentry: from.dentry & is_known,
    };
    let mut len = scratch.launder(0);
    let mut end = FULL;
    for _ in 0..STEPS_MAX {
        let step = step(to, len, at, root);
        if step.end != 0 {
            end = step.end;
            break;
        }
        at = step.place;
        len = scratch.launder(step.len);
    }
    let end = scratch.launder(end);
    let is_whole = !same(end & ROOT, 0);
    let is_cut = !is_whole & !same(end & FULL, 0);
    let is_unreadable = !is_whole & !is_cut;
    Walked {
        len: len & !is_unreadable,
        is_cut,
        is_unreadable,
    }
}

struct Step {
    /// Zero, or why there is no next step.
    end: u64,
    place: Place,
    len: u64,
}

/// Either up to the parent, with the name of `at` written, or over to where its mount is mounted.
#[inline(always)]
fn step(to: *mut u8, len: u64, at: Place, root: Place) -> Step {
    let mut failed = 0;
    let mnt_root: u64 = fetch(at.mnt, offset!(vfsmount_mnt_root), &mut failed);
    // `real_mount`: the `struct mount` that this `struct vfsmount` is a member of.
    let mount = at.mnt.wrapping_sub(u64::from(offset!(mount_mnt)));
    let above: u64 = fetch(mount, offset!(mount_parent), &mut failed);
    let mountpoint: u64 = fetch(mount, offset!(mount_mountpoint), &mut failed);
    let parent: u64 = fetch(at.dentry, offset!(dentry_parent), &mut failed);
    let name = at.dentry.wrapping_add(u64::from(offset!(dentry_name)));
    let n = u64::from(fetch::<u32>(name, offset!(qstr_len), &mut failed));
    let text: u64 = fetch(name, offset!(qstr_name), &mut failed);

    let crosses = same(at.dentry, mnt_root);
    let is_top = crosses & same(above, mount);
    // Not connected to any mount.
    let is_loose = !crosses & same(parent, at.dentry);
    let is_root = same(at.mnt, root.mnt) & same(at.dentry, root.dentry);
    let is_full = !crosses & (less(NAME_MAX, n) | less(LEN_MAX, len));

    let n = opaque(n & !crosses) & NAME_MAX;
    let end = behind_masked::<{ PATH_MAX as u32 - 1 }>(to, len);
    // SAFETY: within the caller's buffer; the helper checks the source.
    failed |= unsafe { bpf_probe_read_kernel(end.cast(), n as u32, text as *const _) } as u64;
    let end = behind_masked::<{ 2 * PATH_MAX as u32 - 1 }>(to, len + n);
    // SAFETY: as above. Where no name was written this is behind the end.
    unsafe { end.write(0) };
    let is_failed = !same(failed, 0);
    Step {
        end: (is_root | is_top | is_loose) & ROOT | is_full & FULL | is_failed & UNREADABLE,
        place: Place {
            mnt: choose(
                crosses,
                above.wrapping_add(u64::from(offset!(mount_mnt))),
                at.mnt,
            ),
            dentry: choose(crosses, mountpoint, parent),
        },
        len: len + n + (!crosses & 1),
    }
}
