//! A build that stops before its first tool works and goes on when a test lets it: what happens between is what is tested.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(2);

/// For `go build -toolexec`. Questions for a tool's version are answered at once.
#[derive(Debug)]
pub struct Gate {
    script: PathBuf,
    reached: PathBuf,
    /// While it is there. So a test that fails leaves nobody waiting, as its directory goes.
    closed: PathBuf,
}

impl Gate {
    /// Closed; its files are there.
    pub fn new(dir: &Path, name: &str) -> Self {
        let at = |what: &str| dir.join(format!("{name}-{what}"));
        let gate = Self {
            script: at("script"),
            reached: at("reached"),
            closed: at("closed"),
        };
        let text = format!(
            "#!/bin/sh\ncase $* in *-V=full*) ;; *) touch {}; while [ -e {} ]; do sleep 0.05; done ;; esac\nexec \"$@\"\n",
            gate.reached.display(),
            gate.closed.display(),
        );
        fs::write(&gate.closed, "").unwrap();
        fs::write(&gate.script, text).unwrap();
        fs::set_permissions(&gate.script, Permissions::from_mode(0o755)).unwrap();
        gate
    }

    /// What is given to `go build`.
    pub fn flag(&self) -> String {
        format!("-toolexec={}", self.script.display())
    }

    /// Waits until a tool stands before it.
    pub fn wait(&self) {
        let since = Instant::now();
        while !self.reached.exists() {
            assert!(since.elapsed() < PATIENCE, "no tool came to {self:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn open(&self) {
        fs::remove_file(&self.closed).unwrap();
    }
}
