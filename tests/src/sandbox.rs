//! Temporary directories for one test, and an environment in which Go finds nothing of the caller's.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::toolchain::Toolchain;
use crate::warm::{share_cache, warm_cache};

/// Directories of system programs.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Temporary directories with their own HOME, GOPATH and GOCACHE. They are removed when this value is dropped.
#[derive(Debug)]
pub struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    /// Creates an empty sandbox: its first build is a cold one.
    ///
    /// # Panics
    ///
    /// If the directories cannot be made.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("gotrace-test-").tempdir();
        let root =
            root.unwrap_or_else(|error| panic!("cannot make a temporary directory: {error}"));
        let sandbox = Self { root };
        for dir in [
            sandbox.home(),
            sandbox.gopath(),
            sandbox.gocache(),
            sandbox.tmp(),
            sandbox.out(),
        ] {
            fs::create_dir_all(&dir)
                .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
        }
        sandbox
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub fn gopath(&self) -> PathBuf {
        self.path().join("gopath")
    }

    pub fn gocache(&self) -> PathBuf {
        self.path().join("gocache")
    }

    /// TMPDIR of its builds, which contains `$WORK`.
    pub fn tmp(&self) -> PathBuf {
        self.path().join("tmp")
    }

    /// A directory for results.
    pub fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    /// Empties the build cache: the next build is a cold one.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn make_cold(&self) {
        let cache = self.gocache();
        let emptied = fs::remove_dir_all(&cache).and_then(|()| fs::create_dir_all(&cache));
        emptied.unwrap_or_else(|error| panic!("cannot empty {}: {error}", cache.display()));
    }

    /// Fills the build cache with the standard library, as far as `tests/gomods/hello` and its tests need it.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn make_warm(&self, toolchain: &Toolchain) {
        share_cache(&warm_cache(toolchain), &self.gocache());
    }

    /// The complete environment of a build with `toolchain`. It inherits only the directories of system programs. The caller's
    /// settings (GOFLAGS, GOPROXY, another Go) do not reach the build.
    pub fn env(&self, toolchain: &Toolchain) -> Vec<(OsString, OsString)> {
        let bin = toolchain.go.parent().unwrap_or(Path::new("/"));
        let mut path = bin.as_os_str().to_owned();
        path.push(":");
        path.push(SYSTEM_PATH);
        let pairs: [(&str, OsString); 8] = [
            ("PATH", path),
            ("HOME", self.home().into()),
            ("GOPATH", self.gopath().into()),
            ("GOCACHE", self.gocache().into()),
            ("TMPDIR", self.tmp().into()),
            ("GOPROXY", "off".into()),
            ("GOTOOLCHAIN", "local".into()),
            ("LC_ALL", "C.UTF-8".into()),
        ];
        pairs.map(|(name, value)| (name.into(), value)).into()
    }

    /// Prepares `go` of this toolchain with this environment.
    pub fn go(&self, toolchain: &Toolchain) -> Command {
        let mut command = Command::new(&toolchain.go);
        command.env_clear().envs(self.env(toolchain));
        command
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}
