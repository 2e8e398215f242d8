//! A process of ours renamed a file: how a build's output reaches its place.
//!
//! The paths are read when the system call returns, because the kernel has then just read them itself and their pages are in
//! memory; at its entry a page may not be, and a program here cannot wait for it.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user_str},
    macros::tracepoint,
    programs::TracePointContext,
};
use tracer_abi::{Kind, PATH_MAX, Rename};

use crate::{
    bound::at_most,
    kernel::{born, current_task, current_tgid},
    maps::{OURS, RENAMES},
    record::{count_lost, count_seen, header},
    scratch::Taken,
};

/// `AT_FDCWD`: relative to the working directory.
const CWD: i32 = -100;

/// Where the first argument, or the result, lies in the record of a system call tracepoint: after the common fields and the
/// system call's number, as the `format` files in tracefs say for every system call.
const FIRST: usize = 16;

/// Arguments of a call that has not returned yet.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pending {
    old: u64,
    new: u64,
    old_dir: i32,
    new_dir: i32,
}

#[tracepoint]
pub fn rename_enter(ctx: TracePointContext) -> u32 {
    keep(Pending {
        old: word(&ctx, 0),
        new: word(&ctx, 1),
        old_dir: CWD,
        new_dir: CWD,
    });
    0
}

/// Of `renameat` and `renameat2`.
#[tracepoint]
pub fn renameat_enter(ctx: TracePointContext) -> u32 {
    keep(Pending {
        old_dir: word(&ctx, 0) as i32,
        old: word(&ctx, 1),
        new_dir: word(&ctx, 2) as i32,
        new: word(&ctx, 3),
    });
    0
}

/// Of all three.
#[tracepoint]
pub fn rename_exit(ctx: TracePointContext) -> u32 {
    record(word(&ctx, 0) as i64);
    0
}

#[inline(always)]
fn word(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: the record of each of these calls holds this many words.
    unsafe {
        ctx.as_ptr()
            .byte_add(FIRST + 8 * n)
            .cast::<u64>()
            .read_volatile()
    }
}

#[inline(always)]
fn keep(pending: Pending) {
    if OURS.get_ptr(current_tgid()).is_some() {
        // Where there is no room, the exit finds nothing and counts the record as lost.
        let _ = RENAMES.insert(bpf_get_current_pid_tgid(), pending, 0);
    }
}

#[inline(always)]
fn record(ret: i64) -> Option<()> {
    OURS.get_ptr(current_tgid())?;
    count_seen(Kind::RENAME);
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: nobody else uses the entry of this thread.
    let pending = unsafe { RENAMES.get(thread) }.copied();
    let _ = RENAMES.remove(thread);
    let (Some(pending), Some(scratch)) = (pending, Taken::take()) else {
        count_lost(Kind::RENAME);
        return None;
    };
    let bytes = scratch.bytes();
    let at = size_of::<Rename>();
    // SAFETY: the scratch space has room for two paths and more.
    let old_len = text(unsafe { bytes.add(at) }, pending.old);
    let new_len = text(unsafe { bytes.add(at + old_len as usize) }, pending.new);
    let len = at as u64 + old_len + new_len;
    let rename = Rename {
        header: header(Kind::RENAME, len, born(current_task())),
        ret,
        old_dir: pending.old_dir,
        new_dir: pending.new_dir,
        old_len: old_len as u32,
        new_len: new_len as u32,
    };
    // SAFETY: the space begins with room for the record and is aligned for it.
    unsafe { bytes.cast::<Rename>().write(rename) };
    if !scratch.send(len) {
        count_lost(Kind::RENAME);
    }
    scratch.free();
    Some(())
}

/// Copies a path without its NUL and returns its length; zero if it cannot be read.
#[inline(always)]
fn text(to: *mut u8, from: u64) -> u64 {
    // SAFETY: `to` has room for `PATH_MAX` bytes; the helper checks the source.
    let n = unsafe { bpf_probe_read_user_str(to.cast(), PATH_MAX as u32, from as *const _) };
    if n < 1 {
        0
    } else {
        at_most(n as u64 - 1, PATH_MAX as u64)
    }
}
