//! The path of a dentry: its components, from the last one up to the root of the process.
//!
//! `bpf_d_path` is not allowed in the scheduler's tracepoints (its allow-list is in `kernel/trace/bpf_trace.c`). This module does the walk
//! of `prepend_path` in `fs/d_path.c` without its locks. A rename of a parent directory at the same moment can therefore mix both paths.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel};
use tracer_abi::{DEPTH_MAX, PATH_MAX};

use crate::{
    kernel::{fetch, read_or_zero},
    maps::offset,
    scratch::Laundry,
    verifier::bounds::{behind_masked, opaque},
    verifier::branchless::{choose, less, same},
};

/// Longest name of a component.
const NAME_MAX: u64 = 255;

/// Length after which no further name is written, because a name of any length must fit.
const LEN_MAX: u64 = PATH_MAX as u64 - NAME_MAX - 1;

/// Most steps: components, and the mounts that are crossed between them.
const STEPS_MAX: usize = DEPTH_MAX + 16;

/// A position in the tree of mounts; the kernel calls it `struct path`. Zeroes if it could not be read.
#[derive(Clone, Copy)]
pub struct KernelPath {
    pub mnt: u64,
    pub dentry: u64,
}

impl KernelPath {
    /// Reads the `struct path` at `offset` bytes after `base`.
    #[inline(always)]
    pub fn read(base: u64, offset: u32) -> Self {
        let path = base.wrapping_add(u64::from(offset));
        Self {
            mnt: read_or_zero(path, offset!(path_mnt)),
            dentry: read_or_zero(path, offset!(path_dentry)),
        }
    }
}

/// The result of a walk.
pub struct Walked {
    /// Bytes written.
    pub len: u64,
    /// Masks.
    pub is_cut: u64,
    pub is_unreadable: u64,
}

// Reasons to end a walk, as bits, because several can hold at once.
const ROOT: u64 = 1;
const FULL: u64 = 2;
const UNREADABLE: u64 = 4;

/// The loop over the steps of a walk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// A bounded loop, which every kernel accepts. The verifier checks each of its rounds.
    Bounded,
    /// `bpf_loop` (Linux 5.17). The verifier checks its function a few times.
    Helper,
}

/// Writes the components of `from` up to `root` to `to`, at most `PATH_MAX` bytes. `to` has room for twice as many.
#[inline(always)]
pub fn walk(
    steps: Steps,
    laundry: Laundry,
    to: *mut u8,
    from: KernelPath,
    root: KernelPath,
) -> Walked {
    // A walk to an unknown root would end at another one.
    let is_known = !same(root.dentry, 0);
    let mut walk = Walk {
        to,
        laundry,
        root,
        at: KernelPath {
            mnt: from.mnt & is_known,
            dentry: from.dentry & is_known,
        },
        len: laundry.launder(0),
        end: laundry.launder(0),
    };
    match steps {
        Steps::Bounded => {
            for _ in 0..STEPS_MAX {
                if walk.advance() != 0 {
                    break;
                }
            }
        }
        Steps::Helper => {
            let function = advance as unsafe extern "C" fn(u32, *mut c_void) -> i64;
            // SAFETY: the function takes a `Walk`, which lives until the helper returns.
            unsafe {
                bpf_loop(
                    STEPS_MAX as u32,
                    function as *mut c_void,
                    (&raw mut walk).cast(),
                    0,
                );
            }
        }
    }
    let end = laundry.launder(walk.end);
    let is_whole = !same(end & ROOT, 0);
    // Without a reason, the walk ended at the limit of steps.
    let is_cut = !is_whole & (!same(end & FULL, 0) | same(end, 0));
    let is_unreadable = !is_whole & !is_cut;
    Walked {
        len: walk.len & !is_unreadable,
        is_cut,
        is_unreadable,
    }
}

/// A walk in progress.
struct Walk {
    to: *mut u8,
    laundry: Laundry,
    root: KernelPath,
    at: KernelPath,
    len: u64,
    /// Zero, or the reasons for the end of the walk.
    end: u64,
}

impl Walk {
    /// Takes one step, without a branch: see `verifier::branchless`. Returns 1 if the walk has ended.
    #[inline(always)]
    fn advance(&mut self) -> u64 {
        let step = step(self.to, self.len, self.at, self.root);
        let is_over = !same(step.end, 0);
        self.end = self.laundry.launder(step.end);
        self.at = step.place;
        self.len = self.laundry.launder(choose(is_over, self.len, step.len));
        opaque(is_over) & 1
    }
}

/// One round of `bpf_loop`.
unsafe extern "C" fn advance(_: u32, walk: *mut c_void) -> i64 {
    // SAFETY: the caller passes a `Walk`.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    walk.advance() as i64
}

struct Step {
    /// Zero, or the reason for the end of the walk.
    end: u64,
    place: KernelPath,
    len: u64,
}

/// Moves to the parent and writes the name of `at`, or moves to the place where the mount of `at` is mounted.
#[inline(always)]
fn step(to: *mut u8, len: u64, at: KernelPath, root: KernelPath) -> Step {
    let mut failed = 0;
    let mnt_root: u64 = fetch(at.mnt, offset!(vfsmount_mnt_root), &mut failed);
    // `real_mount`: the `struct mount` that contains this `struct vfsmount`.
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
    // SAFETY: as above. If no name was written, this is after the end.
    unsafe { end.write(0) };
    let is_failed = !same(failed, 0);
    Step {
        end: (is_root | is_top | is_loose) & ROOT | is_full & FULL | is_failed & UNREADABLE,
        place: KernelPath {
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
