//! Offsets of the fields that the programs read, in the running kernel's structures.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Byte offsets in the running kernel's structures. User space takes them from the kernel's BTF when it loads the object, because Rust
/// programs have no CO-RE relocations. The global is called `OFFSETS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[expect(
    missing_docs,
    reason = "each field is the offset of the member it is named after"
)]
pub struct Offsets {
    pub task_tgid: u32,
    pub task_pid: u32,
    pub task_start_boottime: u32,
    pub task_group_leader: u32,
    pub task_real_parent: u32,
    pub task_mm: u32,
    pub task_fs: u32,
    pub task_signal: u32,
    pub task_exit_code: u32,
    pub task_utime: u32,
    pub task_stime: u32,
    pub task_sum_exec_runtime: u32,
    pub task_thread_node: u32,
    pub task_cred: u32,
    pub task_comm: u32,
    pub task_self_exec_id: u32,
    pub task_children: u32,
    pub task_sibling: u32,
    pub cred_euid: u32,
    pub mm_exe_file: u32,
    pub mm_arg_start: u32,
    pub mm_arg_end: u32,
    pub mm_env_start: u32,
    pub mm_env_end: u32,
    pub fs_pwd: u32,
    pub fs_root: u32,
    pub path_mnt: u32,
    pub path_dentry: u32,
    pub mount_mnt: u32,
    pub mount_parent: u32,
    pub mount_mountpoint: u32,
    pub vfsmount_mnt_root: u32,
    pub dentry_parent: u32,
    pub dentry_name: u32,
    pub qstr_name: u32,
    pub qstr_len: u32,
    pub bprm_file: u32,
    pub file_path: u32,
    pub file_inode: u32,
    pub inode_ino: u32,
    pub inode_size: u32,
    pub inode_sb: u32,
    pub inode_ctime_sec: u32,
    pub inode_ctime_nsec: u32,
    pub super_dev: u32,
    pub signal_live: u32,
    pub signal_flags: u32,
    pub signal_group_exit_code: u32,
    pub signal_utime: u32,
    pub signal_stime: u32,
    pub signal_sum_sched_runtime: u32,
    pub signal_maxrss: u32,
    pub signal_thread_head: u32,
    pub mm_hiwater_rss: u32,
    // The following fields may be `ABSENT`.
    pub mm_rss_count: u32,
    pub rss_count_stride: u32,
    pub task_utask: u32,
    pub utask_vaddr: u32,
    pub dispatch_probe: u32,
    pub probe_filename: u32,
    pub task_sched_pcount: u32,
    pub task_sched_run_delay: u32,
    pub task_delays: u32,
    pub delays_blkio: u32,
    pub signal_oom_mm: u32,
}
impl Offsets {
    /// The value for a member that the running kernel does not have and need not have.
    pub const ABSENT: u32 = u32::MAX;
}

const _: () = assert!(size_of::<Offsets>() == 65 * 4);
