//! A process of ours became another program: its arguments, environment, directory and file, from the new address space.

use aya_ebpf::{
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_comm, generated::bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_abi::{BLOCK_MAX, Exec, Kind, NAMES_MAX, Name, Ours, PATH_MAX};

use crate::{
    bound::{at_most, opaque},
    kernel::{born, current_task, current_tgid, read},
    lineage,
    log::say,
    maps::{NAMES, OURS, offset},
    path::{Place, walk},
    record::{count_lost, count_seen, header},
    scratch::Taken,
};

const PAGE: u64 = 4096;

#[btf_tracepoint(function = "sched_process_exec")]
pub fn on_exec(ctx: BtfTracePointContext) -> i32 {
    record(&ctx);
    0
}

/// Arguments of the tracepoint: the running task, its thread id before, and the `linux_binprm`.
#[inline(always)]
fn record(ctx: &BtfTracePointContext) -> Option<()> {
    let tgid = current_tgid();
    let known = OURS.get_ptr_mut(tgid);
    let ours = known.or_else(|| adopt(tgid))?;
    let task = current_task();
    let born_ns = born(task);
    // SAFETY: the map keeps the element while the program runs; all other threads of the process are gone.
    unsafe {
        ours.write(Ours {
            born_ns,
            target: 0,
            pad: 0,
        })
    };
    count_seen(Kind::EXEC);
    let Some(scratch) = Taken::take() else {
        count_lost(Kind::EXEC);
        return None;
    };
    let len = fill(&scratch, task, born_ns, ctx.arg(2));
    if scratch.send(len) {
        say!(ctx, "exec of {}, {} bytes", tgid, len);
    } else {
        say!(ctx, "exec of {} lost", tgid);
        count_lost(Kind::EXEC);
    }
    scratch.free();
    if known.is_none() {
        lineage::send(task);
    }
    Some(())
}

/// Takes a process among those that are followed, if its new program has a name that is looked for. The kernel has given the task that
/// name by now (`begin_new_exec` of `fs/exec.c`).
#[inline(always)]
fn adopt(tgid: u32) -> Option<*mut Ours> {
    // Where nothing is looked for this is all it costs.
    let first = NAMES.get(0)?;
    if first.0[0] == 0 {
        return None;
    }
    let comm = bpf_get_current_comm().ok()?;
    // SAFETY: any bits are a valid value of these integers.
    let name = Name(unsafe { core::mem::transmute::<[u8; 16], [u64; 2]>(comm) });
    for i in 0..NAMES_MAX as u32 {
        if *NAMES.get(i)? == name {
            if OURS.insert(tgid, Ours::default(), 0).is_err() {
                count_seen(Kind::TRACK);
                count_lost(Kind::TRACK);
            }
            return OURS.get_ptr_mut(tgid);
        }
    }
    None
}

/// Writes the whole record and returns its length.
#[inline(always)]
fn fill(scratch: &Taken, task: u64, born_ns: u64, bprm: u64) -> u64 {
    let bytes = scratch.bytes();
    let mm: u64 = read(task, offset!(task_mm)).unwrap_or(0);
    let fs: u64 = read(task, offset!(task_fs)).unwrap_or(0);
    let file: u64 = read(bprm, offset!(bprm_file)).unwrap_or(0);
    let root = Place::read(fs, offset!(fs_root));
    let mut flags = 0;

    let mut at = size_of::<Exec>() as u64;
    let argv = Block::read(mm, offset!(mm_arg_start), offset!(mm_arg_end));
    // SAFETY: the scratch space holds everything up to the limits that are checked on the way; so below.
    let argv_len = argv.copy(scratch, unsafe { bytes.add(at as usize) });
    if argv.total > 0 && argv_len == 0 {
        flags |= Exec::ARGV_UNREADABLE;
    }
    at = at_most(
        scratch.forget(at + argv_len),
        (size_of::<Exec>() + BLOCK_MAX) as u64,
    );

    let env = Block::read(mm, offset!(mm_env_start), offset!(mm_env_end));
    let env_len = env.copy(scratch, unsafe { bytes.add(at as usize) });
    if env.total > 0 && env_len == 0 {
        flags |= Exec::ENV_UNREADABLE;
    }
    at = at_most(
        scratch.forget(at + env_len),
        (size_of::<Exec>() + 2 * BLOCK_MAX) as u64,
    );

    let cwd = walk(
        scratch,
        unsafe { bytes.add(at as usize) },
        Place::read(fs, offset!(fs_pwd)),
        root,
    );
    if cwd.is_cut {
        flags |= Exec::CWD_CUT;
    }
    if cwd.is_unreadable {
        flags |= Exec::CWD_UNREADABLE;
    }
    at = at_most(
        scratch.forget(at + cwd.len),
        (size_of::<Exec>() + 2 * BLOCK_MAX + PATH_MAX) as u64,
    );

    let exe = walk(
        scratch,
        unsafe { bytes.add(at as usize) },
        Place::read(file, offset!(file_path)),
        root,
    );
    if exe.is_cut {
        flags |= Exec::EXE_CUT;
    }
    if exe.is_unreadable {
        flags |= Exec::EXE_UNREADABLE;
    }
    at = scratch.forget(at + exe.len);

    let inode = Inode::read(file).unwrap_or_default();
    let exec = Exec {
        header: header(Kind::EXEC, at, born_ns),
        ino: inode.ino,
        size: inode.size,
        ctime_ns: inode.ctime_ns,
        // SAFETY: the helper has no conditions.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        dev: inode.dev,
        uid: uid(task).unwrap_or(u32::MAX),
        argv_len: argv_len as u32,
        argv_total: argv.total as u32,
        env_len: env_len as u32,
        env_total: env.total as u32,
        cwd_len: cwd.len as u32,
        exe_len: exe.len as u32,
        flags,
        parent: parent(task).unwrap_or(0),
    };
    // SAFETY: the space begins with room for the record and is aligned for it.
    unsafe { bytes.cast::<Exec>().write(exec) };
    at
}

fn parent(task: u64) -> Option<u32> {
    read(read(task, offset!(task_real_parent))?, offset!(task_tgid))
}

fn uid(task: u64) -> Option<u32> {
    read(read(task, offset!(task_cred))?, offset!(cred_euid))
}

#[derive(Default)]
struct Inode {
    ino: u64,
    size: u64,
    ctime_ns: u64,
    dev: u32,
}

impl Inode {
    #[inline(always)]
    fn read(file: u64) -> Option<Self> {
        let inode: u64 = read(file, offset!(file_inode))?;
        let sb: u64 = read(inode, offset!(inode_sb))?;
        let sec: u64 = read(inode, offset!(inode_ctime_sec))?;
        // Since 6.13 the top bit says that somebody has asked for the time (multigrain timestamps); older kernels leave it clear.
        let nsec = read::<u32>(inode, offset!(inode_ctime_nsec))? & 0x7fff_ffff;
        Some(Self {
            ino: read(inode, offset!(inode_ino))?,
            size: read(inode, offset!(inode_size))?,
            ctime_ns: sec.wrapping_mul(1_000_000_000) + u64::from(nsec),
            dev: read(sb, offset!(super_dev))?,
        })
    }
}

/// A contiguous block of strings in the process's memory.
struct Block {
    start: u64,
    total: u64,
}

impl Block {
    #[inline(always)]
    fn read(mm: u64, start: u32, end: u32) -> Self {
        let start: u64 = read(mm, start).unwrap_or(0);
        let end: u64 = read(mm, end).unwrap_or(0);
        Self {
            start,
            total: end.saturating_sub(start),
        }
    }

    /// Copies as much of it as can be read, at most `BLOCK_MAX` bytes, and returns how much that was.
    #[inline(always)]
    fn copy(&self, scratch: &Taken, to: *mut u8) -> u64 {
        let n = at_most(self.total, BLOCK_MAX as u64);
        // SAFETY: `to` has room for `BLOCK_MAX` bytes and a page; the helper checks the source.
        if unsafe { bpf_probe_read_user(to.cast(), n as u32, self.start as *const _) } == 0 {
            return scratch.forget(n);
        }
        // Part of it is not in memory, where a program may not wait for it: take the pages before that.
        let mut done = 0;
        for _ in 0..=BLOCK_MAX as u64 / PAGE {
            if done >= n {
                break;
            }
            let source = self.start + done;
            let step = at_most(n - done, PAGE - source % PAGE);
            let step = at_most(step, PAGE);
            let offset = opaque(done);
            if offset > BLOCK_MAX as u64 {
                break;
            }
            // SAFETY: as above.
            if unsafe {
                bpf_probe_read_user(
                    to.add(offset as usize).cast(),
                    step as u32,
                    source as *const _,
                )
            } != 0
            {
                break;
            }
            done = scratch.forget(done + step);
        }
        scratch.forget(done)
    }
}
