//! Checks the features of the kernel in its own files. Loading the programs is a separate check.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::{Check, error_chain};
use crate::bpf::offsets;
use crate::bpf::pin::PinDir;
use crate::install;

/// Number of the initial pid namespace: `PROC_PID_INIT_INO` in the kernel's `include/linux/proc_ns.h`, since 3.8.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

pub(super) fn checks() -> Vec<Check> {
    vec![
        kernel(),
        btf(),
        lockdown(),
        tracefs(),
        uprobes(),
        paranoid(),
        memlock(),
        cgroup(),
        pid_namespace(),
        panic_on_warn(),
        pinned(Path::new(install::PINNED)),
    ]
}

/// Checks for pinned objects without an agent. Pinned objects never expire in the kernel.
fn pinned(dir: &Path) -> Check {
    let is_set = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|it| it.file_name().as_bytes().starts_with(b"set-"))
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Check::fine("pinned", "no pinned programs without an agent");
        }
        Err(error) => {
            let found = format!("cannot read {}: {error}", dir.display());
            return Check::fine("pinned", found);
        }
    };
    let has_sets = entries.into_iter().any(is_set);
    match PinDir::is_taken(dir) {
        Ok(false) if has_sets => Check::limited(
            "pinned",
            format!(
                "{} contains attached programs and probes of an agent that has ended, and no process reads their records",
                dir.display()
            ),
            format!(
                "start the service again (systemctl start gotrace), or remove them: sudo rm -r {}",
                dir.display()
            ),
        ),
        Ok(_) | Err(_) => Check::fine("pinned", "no pinned programs without an agent"),
    }
}

fn kernel() -> Check {
    let uname = rustix::system::uname();
    let name = format!(
        "{} {} {}",
        lossy(uname.sysname()),
        lossy(uname.release()),
        lossy(uname.machine())
    );
    Check::fine("kernel", name)
}

fn lossy(text: &std::ffi::CStr) -> std::borrow::Cow<'_, str> {
    text.to_string_lossy()
}

fn btf() -> Check {
    match offsets::of_running_kernel() {
        Ok(_) => Check::fine(
            "btf",
            "/sys/kernel/btf/vmlinux contains every required member",
        ),
        Err(error) => Check::broken(
            "btf",
            "the kernel's BTF lacks required data",
            error_chain(&error),
        ),
    }
}

fn lockdown() -> Check {
    // The file exists only with the lockdown module, without which nothing is locked, and only if securityfs is mounted. Loading the
    // programs detects lockdown without this file.
    let modes = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match chosen(&modes) {
        None => Check::fine("lockdown", "off, or securityfs is not mounted"),
        Some("confidentiality") => Check::broken(
            "lockdown",
            "confidentiality: BPF programs cannot read kernel memory",
            "boot with lockdown=integrity or without lockdown",
        ),
        Some(mode) => Check::fine(
            "lockdown",
            format!("{mode}: blocks nothing that gotrace needs"),
        ),
    }
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn chosen(modes: &str) -> Option<&str> {
    modes
        .split_ascii_whitespace()
        .find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'))
}

fn tracefs() -> Check {
    const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let readable = PLACES
        .iter()
        .find(|place| fs::read_dir(Path::new(place).join("events/syscalls")).is_ok());
    match readable {
        Some(place) => Check::fine("tracefs", format!("{place} has system call tracepoints")),
        None if fs::read_to_string("/proc/self/mountinfo")
            .is_ok_and(|mounts| mounts.contains(" - tracefs ")) =>
        {
            Check::limited(
                "tracefs",
                "mounted, but its system call tracepoints are not readable: renames are not observed",
                "run with sudo or with CAP_DAC_READ_SEARCH (a kernel without CONFIG_FTRACE_SYSCALLS has no such tracepoints)",
            )
        }
        None => Check::limited(
            "tracefs",
            "not mounted: renames are not observed, so output paths come from probes alone",
            "mount -t tracefs tracefs /sys/kernel/tracing",
        ),
    }
}

fn uprobes() -> Check {
    match fs::read_to_string("/sys/bus/event_source/devices/uprobe/type") {
        Ok(number) => Check::fine("uprobes", format!("perf event type {}", number.trim())),
        Err(_) => Check::limited(
            "uprobes",
            "not supported by this kernel: actions, phases and cache keys are not observed",
            "use a kernel with CONFIG_UPROBE_EVENTS",
        ),
    }
}

fn paranoid() -> Check {
    match fs::read_to_string("/proc/sys/kernel/perf_event_paranoid") {
        // Programs are attached by capabilities, which this level does not restrict.
        Ok(level) => Check::fine("perf_event_paranoid", level.trim().to_owned()),
        Err(_) => Check::limited(
            "perf_event_paranoid",
            "this kernel has no perf events",
            "use a kernel with CONFIG_PERF_EVENTS",
        ),
    }
}

fn memlock() -> Check {
    let found = getrlimit(Resource::Memlock)
        .current
        .map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
    // Since 5.11, maps count against the memory cgroup. Before, loading the programs fails and reports this limit.
    Check::fine(
        "memlock",
        format!("{found} (only relevant before Linux 5.11)"),
    )
}

fn cgroup() -> Check {
    let found = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "version 2"
    } else if Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists() {
        "version 1, with version 2 in parallel"
    } else {
        return Check::limited(
            "cgroup",
            "version 1 only: processes cannot be distinguished by cgroup",
            "boot with systemd.unified_cgroup_hierarchy=1",
        );
    };
    Check::fine("cgroup", found)
}

fn pid_namespace() -> Check {
    match fs::read_link("/proc/self/ns/pid") {
        Ok(name) if name.as_os_str() == INITIAL_PID_NAMESPACE => {
            Check::fine("pid namespace", "the initial one")
        }
        Ok(_) | Err(_) => Check::broken(
            "pid namespace",
            "not the initial one: process IDs of the kernel and of /proc differ here",
            "run gotrace on the host, or run its container with the host's PID namespace (--pid=host, hostPID: true)",
        ),
    }
}

fn panic_on_warn() -> Check {
    match fs::read_to_string("/proc/sys/kernel/panic_on_warn")
        .as_deref()
        .map(str::trim)
    {
        Ok("1") => Check::limited(
            "panic_on_warn",
            "1: any kernel warning stops the machine",
            "set kernel.panic_on_warn=0 with sysctl, because some debug kernels warn about uprobes on ext4",
        ),
        Ok(_) | Err(_) => Check::fine("panic_on_warn", "0"),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_set_without_an_agent_is_reported_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gotrace");
        assert_eq!(pinned(&path).verdict, Verdict::Fine);
        fs::create_dir(&path).unwrap();
        // An agent that ended normally leaves at most the directory.
        assert_eq!(pinned(&path).verdict, Verdict::Fine);
        fs::create_dir(path.join("set-1")).unwrap();
        let stale = pinned(&path);
        assert_eq!(stale.verdict, Verdict::Limited);
        let advice = stale.advice.unwrap();
        assert!(advice.ends_with(&format!("sudo rm -r {}", path.display())));
        let agent = fs::File::open(&path).unwrap();
        flock(&agent, FlockOperation::LockExclusive).unwrap();
        assert_eq!(pinned(&path).verdict, Verdict::Fine);
        drop(agent);
        assert_eq!(pinned(&path).verdict, Verdict::Limited);
    }

    #[test]
    fn the_mode_in_brackets_is_the_active_one() {
        assert_eq!(
            chosen("none [integrity] confidentiality\n"),
            Some("integrity")
        );
        assert_eq!(chosen(""), None);
    }
}
