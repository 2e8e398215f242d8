//! A traced process executed a program: its arguments, environment, directory and file, from the new address space.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_cgroup_id,
        generated::{bpf_get_current_comm, bpf_probe_read_kernel_str, bpf_probe_read_user},
    },
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use tracer_abi::{BLOCK_MAX, Exec, Kind, NAMES_MAX, Name, Ours, PATH_MAX};

use crate::{
    kernel::{born, current_task, current_tgid, fetch, read_or_zero},
    lineage,
    log::info,
    maps::{NAMES, OURS, offset},
    path::{KernelPath, Steps, walk},
    record::{count_lost, count_seen, header},
    redundant::{Instance, n_backup, wake},
    scratch::ScratchSlot,
    verifier::bounds::{at_most, behind, behind_masked, opaque},
    verifier::branchless::{choose, less, same},
};

const PAGE: u64 = 4096;

/// Arguments of the tracepoint: the running task, its previous thread id, and the `linux_binprm`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn on_exec(ctx: BtfTracePointContext) -> i32 {
    record(&ctx, Instance::Primary, Steps::Bounded, || {
        read_or_zero(ctx.arg(2), offset!(bprm_file))
    });
    0
}

/// The same program for kernels with `bpf_loop`, which check it in a tenth of the time.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn on_exec_looped(ctx: BtfTracePointContext) -> i32 {
    record(&ctx, Instance::Primary, Steps::Helper, || {
        read_or_zero(ctx.arg(2), offset!(bprm_file))
    });
    0
}

/// A backup: see `redundant`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn on_exec_backup(ctx: BtfTracePointContext) -> i32 {
    record(&ctx, Instance::Backup, Steps::Bounded, || {
        read_or_zero(ctx.arg(2), offset!(bprm_file))
    });
    0
}

/// A backup: see `redundant`. It does not receive the `linux_binprm`; the new address space refers to the same file (`begin_new_exec` of
/// `fs/exec.c`).
#[tracepoint]
pub fn on_exec_late(ctx: TracePointContext) -> u32 {
    record(&ctx, Instance::Backup, Steps::Bounded, || {
        let mm: u64 = read_or_zero(current_task(), offset!(task_mm));
        read_or_zero(mm, offset!(mm_exe_file))
    });
    wake();
    0
}

/// `file` returns the kernel's `file` of the new program.
#[inline(always)]
fn record<C: EbpfContext>(
    ctx: &C,
    instance: Instance,
    steps: Steps,
    file: impl FnOnce() -> u64,
) -> Option<()> {
    let tgid = current_tgid();
    let known = OURS.get_ptr_mut(tgid);
    if n_backup() != 0 && is_done(known) {
        return None;
    }
    let file = file();
    let ours = known.or_else(|| adopt(tgid, file))?;
    let task = current_task();
    let born_ns = born(task);
    // SAFETY: the map keeps the element while the program runs; all other threads of the process are gone.
    unsafe {
        ours.write(Ours {
            born_ns,
            target: 0,
            exec: exec_id(),
            inherited_rss_pages: max_rss_pages(task),
            ..ours.read()
        })
    };
    count_seen(Kind::EXEC);
    let Some(scratch) = ScratchSlot::acquire(instance) else {
        count_lost(Kind::EXEC);
        return None;
    };
    // The verifier has no bounds for this number, so it does not check the following code twice.
    let is_new = scratch.launder(u64::from(known.is_none()));
    let len = fill(&scratch, steps, task, born_ns, file);
    if scratch.send(len) {
        info!(ctx, "exec of {}, {} bytes", tgid, len);
    } else {
        info!(ctx, "exec of {} lost", tgid);
        count_lost(Kind::EXEC);
    }
    scratch.release();
    if is_new != 0 {
        lineage::send(task);
    }
    Some(())
}

/// True if the other instance has already handled this exec of the process.
#[inline(always)]
fn is_done(known: Option<*mut Ours>) -> bool {
    // SAFETY: the map keeps the element while the program runs.
    known.is_some_and(|it| unsafe { (*it).exec } == exec_id())
}

/// A number that changes with each exec and is never zero after the first (`begin_new_exec` of `fs/exec.c`).
#[inline(always)]
fn exec_id() -> u32 {
    read_or_zero(current_task(), offset!(task_self_exec_id))
}

/// Largest resident set until now, in pages; all ones if it cannot be read. At an exec, the kernel has just added the previous address
/// space (`exec_mmap` of `fs/exec.c`).
#[inline(always)]
fn max_rss_pages(task: u64) -> u64 {
    let mut failed = 0;
    let signal: u64 = fetch(task, offset!(task_signal), &mut failed);
    let pages: u64 = fetch(signal, offset!(signal_maxrss), &mut failed);
    pages | !same(failed, 0)
}

/// Traces a process from now on if its new program has one of the listed names. The name is that of the task, which the kernel takes from
/// the executed path (`begin_new_exec` of `fs/exec.c`), or that of the file. The path may be a link to the file.
#[inline(always)]
fn adopt(tgid: u32, file: u64) -> Option<*mut Ours> {
    // With an empty list, this is the whole cost.
    let first = NAMES.get(0)?;
    if first.0[0] == 0 {
        return None;
    }
    let task = current_name()?;
    let file = file_name(file);
    let has_version = has_version(task) || has_version(file);
    for i in 0..NAMES_MAX as u32 {
        let name = *NAMES.get(i)?;
        if has_version || name == task || name == file {
            let ours = Ours {
                born_ns: born(current_task()),
                ..Ours::NEW
            };
            if OURS.insert(tgid, ours, 0).is_err() {
                count_seen(Kind::TRACK);
                count_lost(Kind::TRACK);
            }
            return OURS.get_ptr_mut(tgid);
        }
    }
    None
}

/// True for `go1.27` or `go-1.22`: names of copies of the `go` command, and of links to it, where several versions are installed. User
/// space checks the file.
#[inline(always)]
fn has_version(Name([first, _]): Name) -> bool {
    const GO: u64 = u16::from_le_bytes(*b"go") as u64;
    let third = (first >> 16) as u8;
    first & 0xffff == GO && (third.is_ascii_digit() || matches!(third, b'-' | b'.'))
}

/// The name of a file, in the form of a task's name, if it is shorter than 16 bytes.
#[inline(always)]
fn file_name(file: u64) -> Name {
    let dentry = KernelPath::read(file, offset!(file_path)).dentry;
    let name = dentry.wrapping_add(u64::from(offset!(dentry_name)));
    let text: u64 = read_or_zero(name, offset!(qstr_name));
    let mut found = Name([0; 2]);
    let len = size_of::<Name>() as u32;
    // SAFETY: the helper writes at most `len` bytes, and checks the source.
    let ret = unsafe { bpf_probe_read_kernel_str((&raw mut found).cast(), len, text as *const _) };
    // With its NUL, a name of 15 bytes fills the buffer. A longer name is cut to this length.
    if ret > 0 { found } else { Name([0; 2]) }
}

/// Name of the running thread. The function of `aya_ebpf` is not used: it clears the buffer by a function call, and kernels up to 6.1 check
/// a program of several functions value by value.
#[inline(always)]
fn current_name() -> Option<Name> {
    let mut name = MaybeUninit::<Name>::uninit();
    let len = size_of::<Name>() as u32;
    // SAFETY: the helper writes `len` bytes, or fails.
    let ret = unsafe { bpf_get_current_comm(name.as_mut_ptr().cast(), len) };
    // SAFETY: the helper wrote it, and any bits are a valid value of these integers.
    (ret == 0).then(|| unsafe { name.assume_init() })
}

/// Writes the whole record and returns its length.
///
/// Each value that is read is written to the record at once, and without a branch: see `verifier::branchless`.
#[inline(always)]
fn fill(scratch: &ScratchSlot, steps: Steps, task: u64, born_ns: u64, file: u64) -> u64 {
    const ARGV: usize = size_of::<Exec>();
    const ENV_MAX: u64 = (ARGV + BLOCK_MAX) as u64;
    const CWD_MAX: u64 = ENV_MAX + BLOCK_MAX as u64;
    const EXE_MAX: u64 = CWD_MAX + PATH_MAX as u64;
    let bytes = scratch.bytes();
    let exec = bytes.cast::<Exec>();
    write_file(exec, file);
    write_owner(exec, task);

    let mm: u64 = read_or_zero(task, offset!(task_mm));
    let argv = Block::read(scratch, mm, offset!(mm_arg_start), offset!(mm_arg_end));
    // SAFETY: the scratch space holds every part up to its limit, and each limit is checked.
    let argv_len = argv.copy(scratch, unsafe { bytes.add(ARGV) });
    let mut flags = argv.is_unreadable(argv_len) & u64::from(Exec::ARGV_UNREADABLE);
    let at = scratch.launder(ARGV as u64 + argv_len);
    // SAFETY: the space begins with room for the record and is aligned for it; the same holds below.
    unsafe {
        (&raw mut (*exec).argv_len).write(argv_len as u32);
        (&raw mut (*exec).argv_total).write(argv.total as u32);
    }

    let env = Block::read(scratch, mm, offset!(mm_env_start), offset!(mm_env_end));
    let env_len = env.copy(scratch, behind(bytes, at, ENV_MAX));
    flags |= env.is_unreadable(env_len) & u64::from(Exec::ENV_UNREADABLE);
    let at = scratch.launder(at + env_len);
    unsafe {
        (&raw mut (*exec).env_len).write(env_len as u32);
        (&raw mut (*exec).env_total).write(env.total as u32);
    }

    let fs: u64 = read_or_zero(task, offset!(task_fs));
    let root = KernelPath::read(fs, offset!(fs_root));
    let cwd = KernelPath::read(fs, offset!(fs_pwd));
    let laundry = scratch.laundry();
    let cwd = walk(steps, laundry, behind(bytes, at, CWD_MAX), cwd, root);
    flags |= cwd.is_cut & u64::from(Exec::CWD_CUT);
    flags |= cwd.is_unreadable & u64::from(Exec::CWD_UNREADABLE);
    let at = scratch.launder(at + cwd.len);
    unsafe { (&raw mut (*exec).cwd_len).write(cwd.len as u32) };

    let exe = KernelPath::read(file, offset!(file_path));
    let exe = walk(steps, laundry, behind(bytes, at, EXE_MAX), exe, root);
    flags |= exe.is_cut & u64::from(Exec::EXE_CUT);
    flags |= exe.is_unreadable & u64::from(Exec::EXE_UNREADABLE);
    let at = scratch.launder(at + exe.len);
    unsafe {
        (&raw mut (*exec).exe_len).write(exe.len as u32);
        (&raw mut (*exec).flags).write(flags as u32);
        (&raw mut (*exec).header).write(header(Kind::EXEC, at, born_ns));
    }
    at
}

/// Writes the user, the parent and the cgroup of the process.
#[inline(always)]
fn write_owner(exec: *mut Exec, task: u64) {
    let mut failed = 0;
    let cred: u64 = fetch(task, offset!(task_cred), &mut failed);
    let uid: u32 = fetch(cred, offset!(cred_euid), &mut failed);
    let parent: u64 = read_or_zero(task, offset!(task_real_parent));
    let parent = read_or_zero(parent, offset!(task_tgid));
    // SAFETY: as in `fill`; the helper has no conditions.
    unsafe {
        (&raw mut (*exec).uid).write(uid | !same(failed, 0) as u32);
        (&raw mut (*exec).parent).write(parent);
        (&raw mut (*exec).cgroup).write(bpf_get_current_cgroup_id());
    }
}

/// Writes the identity of the file; zeroes if it cannot be read.
#[inline(always)]
fn write_file(exec: *mut Exec, file: u64) {
    let inode: u64 = read_or_zero(file, offset!(file_inode));
    let sb: u64 = read_or_zero(inode, offset!(inode_sb));
    let sec: u64 = read_or_zero(inode, offset!(inode_ctime_sec));
    // Since 6.13 the top bit is set if the time was queried (multigrain timestamps). Older kernels leave it clear.
    let nsec = read_or_zero::<u32>(inode, offset!(inode_ctime_nsec)) & 0x7fff_ffff;
    let ino = read_or_zero(inode, offset!(inode_ino));
    let size = read_or_zero(inode, offset!(inode_size));
    let dev = read_or_zero(sb, offset!(super_dev));
    // SAFETY: as in `fill`.
    unsafe {
        (&raw mut (*exec).ino).write(ino);
        (&raw mut (*exec).size).write(size);
        (&raw mut (*exec).ctime_ns).write(sec.wrapping_mul(1_000_000_000) + u64::from(nsec));
        (&raw mut (*exec).dev).write(dev);
    }
}

/// A contiguous block of strings in the process's memory.
struct Block {
    start: u64,
    total: u64,
}

impl Block {
    #[inline(always)]
    fn read(scratch: &ScratchSlot, mm: u64, start: u32, end: u32) -> Self {
        let start: u64 = read_or_zero(mm, start);
        let end: u64 = read_or_zero(mm, end);
        Self {
            start,
            total: scratch.launder(end.saturating_sub(start)),
        }
    }

    /// Copies the readable part, at most `BLOCK_MAX` bytes, and returns its length. `to` has room for that and two pages.
    #[inline(always)]
    fn copy(&self, scratch: &ScratchSlot, to: *mut u8) -> u64 {
        let n = at_most(self.total, BLOCK_MAX as u64);
        // SAFETY: there is room; the helper checks the source.
        if unsafe { bpf_probe_read_user(to.cast(), n as u32, self.start as *const _) } == 0 {
            return scratch.launder(n);
        }
        // Part of the block is not in memory, and a program cannot wait for it here: copy the pages before it.
        let n = scratch.launder(n);
        let mut done = scratch.launder(0);
        for _ in 0..=BLOCK_MAX as u64 / PAGE {
            let source = self.start + done;
            let (left, page) = (n - done, PAGE - source % PAGE);
            let step = opaque(choose(less(left, page), left, page)) & (2 * PAGE - 1);
            // `done` equals `BLOCK_MAX` only after the last step, and then nothing is left to copy.
            let at = behind_masked::<{ BLOCK_MAX as u32 - 1 }>(to, done);
            // SAFETY: as above.
            let ret = unsafe { bpf_probe_read_user(at.cast(), step as u32, source as *const _) };
            if same(step, 0) | ret as u64 != 0 {
                break;
            }
            done = scratch.launder(done + step);
        }
        scratch.launder(done)
    }

    /// A mask: true if nothing was copied from a block that is not empty.
    #[inline(always)]
    fn is_unreadable(&self, len: u64) -> u64 {
        same(len, 0) & !same(self.total, 0)
    }
}
