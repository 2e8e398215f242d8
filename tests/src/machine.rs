//! A running machine with systemd: systemd-nspawn boots this machine's files below a layer in memory. Needs root.
//!
//! Changes in it do not reach this machine's files, and end with the test. It has no network and its own process numbers.
//! [`HOST_PROC`] is this machine's `/proc`, for programs that need the kernel's process numbers.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::sandbox::SYSTEM_PATH;

const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Path of the outer machine's `/proc`.
pub const HOST_PROC: &str = "/run/host-proc";

/// Capabilities that a real machine would have.
const CAPABILITIES: &str = "CAP_BPF,CAP_PERFMON,CAP_SYS_PTRACE,CAP_DAC_READ_SEARCH";
const SYSTEM_CALLS: &str = "bpf perf_event_open";

/// Mounts the tree and boots the machine. The mounts are private, so they end with it in every case.
const BOOT: &str = r#"
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
shift
exec "$@"
"#;

/// A booted machine.
pub struct Machine {
    nspawn: Child,
    /// Its process 1 in this machine's numbering, once found.
    leader: Option<u32>,
    /// Removes the directory when dropped.
    _dir: TempDir,
}

impl Machine {
    pub fn boot() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gotrace-machine-")
            .tempdir()
            .unwrap();
        let place = dir.path().display();
        let log = dir.path().with_extension("log");
        let printed = fs::File::create(&log).unwrap();
        let nspawn = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-c", BOOT, "boot"])
            .arg(dir.path())
            // If the test is killed, nspawn receives SIGTERM and shuts the machine down. SIGKILL would leave the machine running.
            .args(["setpriv", "--pdeathsig", "TERM", "systemd-nspawn"])
            .args(["--quiet", "--register=no", "--keep-unit", "--boot"])
            .args(["--private-network", "--link-journal=no"])
            .args(["--resolv-conf=off", "--timezone=off", "--console=pipe"])
            .arg(format!("--machine=gotrace-{}", std::process::id()))
            .arg(format!("--directory={place}/root"))
            .arg(format!("--bind=/proc:{HOST_PROC}"))
            .arg(format!("--capability={CAPABILITIES}"))
            .arg(format!("--system-call-filter={SYSTEM_CALLS}"))
            // The test needs no services of this machine.
            .args(["--", "--unit=basic.target", "systemd.log_target=console"])
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .stdin(Stdio::null())
            .stdout(printed.try_clone().unwrap())
            .stderr(printed)
            .spawn()
            .unwrap();
        let mut machine = Self {
            nspawn,
            leader: None,
            _dir: dir,
        };
        let up = machine.wait_until_up();
        let printed = fs::read_to_string(&log).unwrap_or_default();
        let _gone = fs::remove_file(&log);
        assert!(up.is_ok(), "{}: {printed}", up.unwrap_err());
        machine
    }

    fn wait_until_up(&mut self) -> Result<(), String> {
        let since = Instant::now();
        let mut state = String::from("no process 1");
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.nspawn.try_wait().unwrap() {
                return Err(format!("the machine ended: {status}"));
            }
            self.leader = self.leader.or_else(|| leader(self.nspawn.id()));
            if self.leader.is_some() {
                let output = self.run(["systemctl", "is-system-running"]);
                let printed = String::from_utf8_lossy(&output.stdout);
                printed.trim().clone_into(&mut state);
                if ["running", "degraded"].contains(&state.as_str()) {
                    return Ok(());
                }
            }
            thread::sleep(PAUSE);
        }
        Err(format!("the machine did not come up: {state}"))
    }

    /// A path in the machine, as this machine sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.leader.unwrap()));
        root.join(path.trim_start_matches('/'))
    }

    /// Writes a file in the machine, and creates its parent directories.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Copies a file of this machine into it.
    pub fn copy(&self, from: &Path, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    /// Runs a command in the machine as root, with only a plain PATH in its environment.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.command(args).output().unwrap()
    }

    /// Prepares such a command without starting it.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.leader.unwrap().to_string(), "--all", "--"])
            .args(args)
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed; returns its stdout and stderr.
    pub fn succeed<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> (String, String) {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{}: {printed:#?}", output.status);
        printed
    }

    /// Waits until `ask` returns a value.
    pub fn wait_for<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = ask(self) {
                return found;
            }
            if since.elapsed() > PATIENCE {
                let journal = self.run(["journalctl", "--no-pager", "--lines=50"]);
                let journal = String::from_utf8_lossy(&journal.stdout);
                panic!("timed out waiting for {what}: {journal}");
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All processes end with process 1. The signal fails if the machine has already ended.
        if let Some(leader) = self.leader.or_else(|| leader(self.nspawn.id())) {
            let _ended = Command::new("kill")
                .args(["-KILL", &leader.to_string()])
                .status();
        }
        let _ended = self.nspawn.kill();
        let _reaped = self.nspawn.wait();
    }
}

/// The child that is process 1 of its own PID namespace.
fn leader(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().find_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let numbers = status.lines().find_map(|it| it.strip_prefix("NSpid:"))?;
        let is_first = numbers.split_whitespace().last() == Some("1");
        is_first.then(|| pid.parse().ok())?
    })
}
