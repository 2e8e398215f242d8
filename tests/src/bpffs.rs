//! A bpffs of a test's own: what is pinned in it ends with the test, and no other agent finds it. Needs root.
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

/// Mounted as long as this is held.
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

    /// Where an agent may pin.
    pub fn place(&self) -> PathBuf {
        self.0.path().join("gotrace")
    }

    /// The sets that are there, by name.
    pub fn sets(&self) -> Vec<String> {
        let mut sets = self.pinned();
        sets.retain(|it| it.starts_with("set-") && !it.contains('/'));
        sets
    }

    /// All that is pinned, or only there, relative to the place; nothing if that is not there either.
    pub fn pinned(&self) -> Vec<String> {
        let place = self.place();
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
        // Whoever still has a directory in it open keeps it, but not its name.
        let _left = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
