//! A private bpffs for one test: its pins end with the test, and other agents do not find them. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A mount that lasts as long as this value.
pub struct Bpffs(TempDir);

impl Bpffs {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mounted.success());
        Self(dir)
    }

    /// Directory in which an agent can pin.
    pub fn pin_dir(&self) -> PathBuf {
        self.0.path().join("gotrace")
    }

    /// Names of the pinned sets.
    pub fn sets(&self) -> Vec<String> {
        let mut sets = self.pinned();
        sets.retain(|it| it.starts_with("set-") && !it.contains('/'));
        sets
    }

    /// All entries, relative to the pin directory; empty if the directory does not exist.
    pub fn pinned(&self) -> Vec<String> {
        let place = self.pin_dir();
        let mut found = Vec::new();
        let mut dirs = vec![place.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&place).unwrap();
                found.push(name.to_str().unwrap().to_owned());
                if path.is_dir() {
                    dirs.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // A process that still has a directory open keeps the mount, but not its name.
        let _left = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
