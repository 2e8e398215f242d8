//! A build that stops before its first tool, and continues when the test opens the gate. The test checks the state in between.
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

/// For `go build -toolexec`. Version queries pass at once.
#[derive(Debug)]
pub struct Gate {
    script: PathBuf,
    reached: PathBuf,
    /// The gate is closed while this file exists. A failed test removes its directory and thereby releases waiting tools.
    closed: PathBuf,
}

impl Gate {
    /// Creates a closed gate and its files.
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

    /// The argument for `go build`.
    pub fn flag(&self) -> String {
        format!("-toolexec={}", self.script.display())
    }

    /// Waits until a tool stops at the gate.
    pub fn wait(&self) {
        let since = Instant::now();
        while !self.reached.exists() {
            assert!(since.elapsed() < PATIENCE, "no tool reached {self:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn open(&self) {
        fs::remove_file(&self.closed).unwrap();
    }
}
