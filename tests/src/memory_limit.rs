//! A memory cgroup with a limit, in either version of the interface. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A cgroup that a shell can enter. It must be empty when it is dropped.
pub struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// Creates a cgroup below the root.
    ///
    /// # Panics
    ///
    /// If the cgroup cannot be created or limited.
    pub fn of_bytes(bytes: u64) -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let name = format!("gotrace-test-{}-{n}", process::id());
        let unified = Path::new("/sys/fs/cgroup");
        let (root, limit) = if unified.join("cgroup.controllers").exists() {
            write(&unified.join("cgroup.subtree_control"), "+memory");
            (unified.to_owned(), "memory.max")
        } else {
            (unified.join("memory"), "memory.limit_in_bytes")
        };
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("no {}: {error}", dir.display()));
        write(&dir.join(limit), &bytes.to_string());
        Self(dir)
    }

    /// A shell command: enters the cgroup, then becomes another command.
    pub fn script(&self, command: &str) -> String {
        let processes = self.0.join("cgroup.procs");
        format!("echo $$ > {} && exec {command}", processes.display())
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A cgroup that is left behind harms nothing, and a panic here would hide that of the test.
        let _left = fs::remove_dir(&self.0);
    }
}
