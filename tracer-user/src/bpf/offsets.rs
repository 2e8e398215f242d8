//! Offsets of the kernel members that the programs read: one row per member, with all names that it has had.

use tracer_abi::Offsets;

use super::btf::{self, Btf};
use super::error::SetupError;

/// Reads all offsets from the running kernel's BTF.
pub fn of_running_kernel() -> Result<Offsets, SetupError> {
    let bytes = btf::read()?;
    of(&Btf::parse(&bytes).ok_or(SetupError::NoBtf)?)
}

pub(super) fn of(btf: &Btf<'_>) -> Result<Offsets, SetupError> {
    let find = |structure: &'static str, names: &[&'static str]| {
        names
            .iter()
            .find_map(|name| btf.offset(structure, name))
            .ok_or_else(|| SetupError::NoField {
                structure,
                name: names.first().copied().unwrap_or("?"),
            })
    };
    let optional = |structure, name| btf.offset(structure, name).unwrap_or(Offsets::ABSENT);
    // Since 6.2. Without it, a program's own memory is unknown if it inherited more memory over its exec.
    let counter = "percpu_counter";
    let rss_count = btf
        .stride("mm_struct", "rss_stat", counter)
        .and_then(|stride| {
            let first = btf.offset("mm_struct", "rss_stat")?;
            Some((first.checked_add(btf.offset(counter, "count")?)?, stride))
        });
    let (mm_rss_count, rss_count_stride) = rss_count.unwrap_or((Offsets::ABSENT, 0));
    let task = |name| find("task_struct", &[name]);
    let mm = |name| find("mm_struct", &[name]);
    let signal = |name| find("signal_struct", &[name]);
    Ok(Offsets {
        task_tgid: task("tgid")?,
        task_pid: task("pid")?,
        task_start_boottime: find("task_struct", &["start_boottime", "real_start_time"])?, // renamed in 5.5
        task_group_leader: task("group_leader")?,
        task_real_parent: task("real_parent")?,
        task_mm: task("mm")?,
        task_fs: task("fs")?,
        task_signal: task("signal")?,
        task_exit_code: task("exit_code")?,
        task_utime: task("utime")?,
        task_stime: task("stime")?,
        task_sum_exec_runtime: task("se.sum_exec_runtime")?,
        task_thread_node: task("thread_node")?,
        task_cred: task("cred")?,
        task_comm: task("comm")?,
        task_self_exec_id: task("self_exec_id")?,
        task_children: task("children")?,
        task_sibling: task("sibling")?,
        cred_euid: find("cred", &["euid"])?,
        mm_exe_file: mm("exe_file")?,
        mm_arg_start: mm("arg_start")?,
        mm_arg_end: mm("arg_end")?,
        mm_env_start: mm("env_start")?,
        mm_env_end: mm("env_end")?,
        fs_pwd: find("fs_struct", &["pwd"])?,
        fs_root: find("fs_struct", &["root"])?,
        path_mnt: find("path", &["mnt"])?,
        path_dentry: find("path", &["dentry"])?,
        mount_mnt: find("mount", &["mnt"])?,
        mount_parent: find("mount", &["mnt_parent"])?,
        mount_mountpoint: find("mount", &["mnt_mountpoint"])?,
        vfsmount_mnt_root: find("vfsmount", &["mnt_root"])?,
        dentry_parent: find("dentry", &["d_parent"])?,
        dentry_name: find("dentry", &["d_name"])?,
        qstr_name: find("qstr", &["name"])?,
        qstr_len: find("qstr", &["len"])?,
        bprm_file: find("linux_binprm", &["file"])?,
        file_path: find("file", &["f_path"])?,
        file_inode: find("file", &["f_inode"])?,
        inode_ino: find("inode", &["i_ino"])?,
        inode_size: find("inode", &["i_size"])?,
        inode_sb: find("inode", &["i_sb"])?,
        inode_ctime_sec: find(
            "inode",
            &["i_ctime_sec", "__i_ctime.tv_sec", "i_ctime.tv_sec"],
        )?, // 6.11, 6.6, before
        inode_ctime_nsec: find(
            "inode",
            &["i_ctime_nsec", "__i_ctime.tv_nsec", "i_ctime.tv_nsec"],
        )?,
        super_dev: find("super_block", &["s_dev"])?,
        signal_live: signal("live")?,
        signal_flags: signal("flags")?,
        signal_group_exit_code: signal("group_exit_code")?,
        signal_utime: signal("utime")?,
        signal_stime: signal("stime")?,
        signal_sum_sched_runtime: signal("sum_sched_runtime")?,
        signal_maxrss: signal("maxrss")?,
        signal_thread_head: signal("thread_head")?,
        mm_hiwater_rss: mm("hiwater_rss")?,
        mm_rss_count,
        rss_count_stride,
        // Only used on kernels before 5.15.
        task_utask: optional("task_struct", "utask"),
        utask_vaddr: optional("uprobe_task", "vaddr"),
        dispatch_probe: optional("uprobe_dispatch_data", "tu"),
        probe_filename: optional("trace_uprobe", "filename"),
        // Only in kernels with `CONFIG_SCHED_INFO` and with `CONFIG_TASK_DELAY_ACCT`.
        task_sched_pcount: optional("task_struct", "sched_info.pcount"),
        task_sched_run_delay: optional("task_struct", "sched_info.run_delay"),
        task_delays: optional("task_struct", "delays"),
        delays_blkio: optional("task_delay_info", "blkio_delay"),
        signal_oom_mm: optional("signal_struct", "oom_mm"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_btf_magic_is_no_btf() {
        assert!(Btf::parse(b"nothing").is_none());
    }

    #[test]
    fn every_kernel_with_btf_has_all_members() {
        match of_running_kernel() {
            Ok(offsets) => assert_ne!(offsets.task_tgid, offsets.task_pid),
            Err(SetupError::NoBtf) => {} // `doctor` reports this; a kernel without BTF cannot be tested here.
            Err(other) => panic!("{other}"),
        }
    }
}
