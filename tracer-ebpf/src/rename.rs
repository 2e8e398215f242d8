//! A traced process renamed a file: this is how a build's output reaches its final path.
//!
//! Only the return of the system call is hooked. By then the kernel has read the paths, so their pages are in memory. At the entry a page
//! may be missing, and a program cannot wait for it. At the return, the arguments are still in the process's registers.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_task_pt_regs,
        generated::bpf_probe_read_user_str,
    },
    macros::{fexit, tracepoint},
    programs::{FExitContext, TracePointContext},
};
use tracer_abi::{Kind, PATH_MAX, Rename};

use crate::{
    kernel::{born, current_task, current_tgid, read_or_zero},
    maps::{ARE_REGISTERS_FIRST, EVENTS, OURS, RENAMING},
    record::{WAKE, count_lost, count_seen, header},
    redundant::{Instance, wake_reader},
    verifier::bounds::at_most,
};

/// Offset of the result in the record of a system call tracepoint: after the common fields and the system call's number. The `format` files
/// in tracefs show this for every system call.
const RESULT: usize = 16;

/// Index in the kernel's `pt_regs` of the first four arguments of a system call.
#[cfg(bpf_target_arch = "x86_64")]
const ARGUMENTS: [usize; 4] = [14, 13, 12, 7]; // di, si, dx, r10
#[cfg(bpf_target_arch = "aarch64")]
const ARGUMENTS: [usize; 4] = [34, 1, 2, 3]; // orig_x0, because x0 contains the result by now

const SIZE: usize = size_of::<Rename>();

/// The return of the kernel's function for `renameat`, which Go calls on x86_64 and on arm64 (`syscall/syscall_linux.go`). Other system
/// calls cost nothing more. User space names the function, which differs by architecture.
#[fexit]
pub fn on_renameat(ctx: FExitContext) -> i32 {
    at_function(&ctx, Instance::Primary);
    0
}

/// A second copy of that program. The kernel skips a program on a CPU while the same program, preempted in another process, has not
/// finished there (`docs/kernel-facts.md`). It counts that, so user space reports a rename that both copies may have missed.
#[fexit]
pub fn on_renameat_backup(ctx: FExitContext) -> i32 {
    at_function(&ctx, Instance::Backup);
    0
}

/// The copy that runs first records the rename, and the other one wakes the reader: a program is most likely preempted by that. `RENAMING`
/// names the copy that has recorded, so the order of the two does not matter. A mark that was left because the second copy was skipped
/// only changes their order.
#[inline(always)]
fn at_function(ctx: &FExitContext, instance: Instance) -> Option<()> {
    OURS.get_ptr(current_tgid())?;
    let tid = bpf_get_current_pid_tgid() as u32;
    let [own, other] = match instance {
        Instance::Primary => [1, 2],
        Instance::Backup => [2, 1],
    };
    // SAFETY: the map keeps the element while the program runs.
    let recorded_by = RENAMING.get_ptr(tid).map(|it| unsafe { *it });
    if recorded_by == Some(other) {
        // If the reader cannot be woken now, the next record that does so follows soon: the exit of the process.
        let _removed = RENAMING.remove(tid);
        return wake_reader();
    }
    // Without the mark, which a full map refuses, the other copy records the rename once more.
    let _full = RENAMING.insert(tid, own, 0);
    // The function takes the registers of the process and returns a `long`.
    record(ctx.arg(0), ctx.arg(1), u64::from(BPF_RB_NO_WAKEUP))
}

/// The same at the tracepoint of the system call, for kernels without programs at functions. While it is attached, the kernel traces each
/// system call of each process.
#[tracepoint]
pub fn on_rename(ctx: TracePointContext) -> u32 {
    // SAFETY: the record of each system call's return holds this word.
    let ret = unsafe { ctx.as_ptr().byte_add(RESULT).cast::<i64>().read_volatile() };
    record(registers(&ctx), ret, WAKE);
    0
}

/// `flags` are those of the submission.
#[inline(always)]
fn record(regs: u64, ret: i64, flags: u64) -> Option<()> {
    OURS.get_ptr(current_tgid())?;
    count_seen(Kind::RENAME);
    let [old_dir, old, new_dir, new] = ARGUMENTS.map(|it| read_or_zero(regs, (8 * it) as u32));
    let Some(mut slot) = EVENTS.reserve_bytes(SIZE + 2 * PATH_MAX, 0) else {
        count_lost(Kind::RENAME);
        return None;
    };
    let bytes: *mut u8 = slot.as_mut_ptr();
    // SAFETY: the slot has room for the record and two paths.
    let old_len = text(unsafe { bytes.add(SIZE) }, old);
    // SAFETY: as above; the first path is at most `PATH_MAX` bytes long.
    let new_len = text(unsafe { bytes.add(SIZE + old_len as usize) }, new);
    let len = SIZE as u64 + old_len + new_len;
    let rename = Rename {
        header: header(Kind::RENAME, len, born(current_task())),
        ret,
        old_dir: old_dir as i32,
        new_dir: new_dir as i32,
        old_len: old_len as u32,
        new_len: new_len as u32,
    };
    // SAFETY: the slot begins with room for the record, and the ring buffer aligns it to eight bytes.
    unsafe { bytes.cast::<Rename>().write(rename) };
    slot.submit(flags);
    Some(())
}

/// Address of the process's registers at its entry to the kernel.
#[inline(always)]
fn registers(ctx: &TracePointContext) -> u64 {
    // SAFETY: the pointer is that of a live static; the read is volatile because the compiler assumes that the global is zero.
    if unsafe { (&raw const ARE_REGISTERS_FIRST).read_volatile() } != 0 {
        // A program may not dereference this address itself; the helper reads it.
        return read_or_zero(ctx.as_ptr().addr() as u64, 0);
    }
    // SAFETY: these helpers have no conditions; the second takes the result of the first.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as u64 }
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
