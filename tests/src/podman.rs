//! Podman from a later Debian than the one that runs the tests: the first version that supports `DaemonSet`. Needs root.
//!
//! `cargo xtask setup` fills its tree. Podman sees the tree through an overlay in memory and private mounts, so its changes end
//! with it.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::toolchain::toolchain_dir;

/// Debian release of Podman.
pub const PODMAN_SUITE: &str = "trixie";
/// Packages in the tree besides the base system.
pub const PODMAN_PACKAGES: &[&str] = &["podman", "runc", "conmon", "catatonit"];

/// Time limit of one command, in seconds.
const PATIENCE: &str = "180";

/// Raises no limit and does not use systemd, so that it runs where root's rights are restricted. Without systemd, Podman does not
/// run health checks.
const CONFIGURATION: &str = r#"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
netns = "none"
"#;

/// `$1` is the tree, `$2` a directory. The tree is the root of the mount namespace, not only of a process. A process that enters a
/// container from outside must therefore enter the tree. The previous root is at `/mnt`. Prints a line when the mounts are complete,
/// and holds them until its standard input ends.
const MOUNT: &str = r#"
set -e
mkdir "$2/memory" "$2/root"
mount -t tmpfs tmpfs "$2/memory"
mkdir "$2/memory/upper" "$2/memory/work"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/memory/upper,workdir=$2/memory/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
mkdir -p var/lib/containers etc/containers
mount -t tmpfs tmpfs var/lib/containers
printf '%s' "$3" > etc/containers/containers.conf
pivot_root . mnt
exec chroot . sh -c 'echo mounted; exec cat'
"#;

/// Path of the tree.
pub fn podman_tree() -> PathBuf {
    toolchain_dir().join(format!("podman-{PODMAN_SUITE}"))
}

/// A Podman without containers and images. Its containers end when this value is dropped.
pub struct Podman {
    /// Holds the mounts.
    holder: Child,
    _dir: TempDir,
}

impl Podman {
    /// Starts a Podman without containers and images.
    pub fn start() -> Self {
        let tree = podman_tree();
        assert!(
            tree.join("usr/bin/podman").exists(),
            "no podman in {}: run `cargo xtask setup`, which installs {PODMAN_PACKAGES:?} of {PODMAN_SUITE}",
            tree.display()
        );
        let dir = TempDir::new().unwrap();
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                MOUNT,
                "sh",
            ])
            .args([tree.canonicalize().unwrap().as_path(), dir.path()])
            .arg(CONFIGURATION)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        let stdout = holder.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut printed).unwrap();
        let podman = Self { holder, _dir: dir };
        assert_eq!(printed, "mounted\n", "the tree cannot be mounted");
        podman
    }

    /// Shares a directory of this machine with Podman and its containers. Returns its path there.
    pub fn share(&self, name: &str, dir: &Path) -> String {
        let inside = format!("/run/shared/{name}");
        let outside = format!("/mnt{}", dir.canonicalize().unwrap().display());
        let script = r#"mkdir -p "$2" && mount --bind "$1" "$2""#;
        self.inside(&["sh", "-c", script, "sh", &outside, &inside])
            .status()
            .map(|status| assert!(status.success(), "cannot share {}", dir.display()))
            .unwrap();
        inside
    }

    /// Prepares `podman` with these arguments and a time limit of some minutes.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.inside(&["timeout", PATIENCE, "podman"]);
        command
            .args(args)
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs `podman`, which must succeed; returns its output.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "podman {args:?}: {output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// A command in its mount namespace.
    fn inside(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.holder.id().to_string();
        command.args(["--target", &holder, "--mount"]).args(args);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Removes everything that exists.
        for kind in ["pod", "container"] {
            let args = [kind, "rm", "--all", "--force", "--time", "0"];
            let _none = self.command(&args).output();
        }
        let _ended = self.holder.kill();
        let _reaped = self.holder.wait();
    }
}
