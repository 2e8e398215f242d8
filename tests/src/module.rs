//! A copy of one of the Go modules in `tests/gomods`, which a test can build, change and break.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::gotrace::gotrace_command;
use crate::sandbox::Sandbox;
use crate::toolchain::{Toolchain, toolchains};

/// A Go module in its own [`Sandbox`].
#[derive(Debug)]
pub struct Module {
    pub sandbox: Sandbox,
    dir: PathBuf,
}

impl Module {
    /// A copy of `tests/gomods/<name>`.
    ///
    /// # Panics
    ///
    /// If there is no such module, or it cannot be copied.
    pub fn copy(name: &str) -> Self {
        let origin = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("gomods")
            .join(name);
        let sandbox = Sandbox::new();
        let dir = sandbox.path().join(name);
        copy_tree(&origin, &dir);
        Self { sandbox, dir }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a new or existing file of the module.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.dir.join(path);
        let parent = file.parent().unwrap_or(&self.dir);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&file, text));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    }

    /// Appends text to a file of the module, so that Go compiles that package again.
    ///
    /// # Panics
    ///
    /// If it cannot be read or written.
    pub fn append(&self, path: &str, text: &str) {
        let file = self.dir.join(path);
        let old = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        self.write(path, &(old + text));
    }

    /// Prepares a `go` command in the module.
    pub fn go(&self, toolchain: &Toolchain, args: &[&str]) -> Command {
        let mut command = self.sandbox.go(toolchain);
        command.args(args).current_dir(&self.dir);
        command
    }

    /// Prepares a `gotrace` command in the module, with the environment of a build with `toolchain`.
    pub fn gotrace(&self, toolchain: &Toolchain, args: &[&str]) -> Command {
        let mut command = gotrace_command(self.sandbox.env(toolchain));
        command.args(args).current_dir(&self.dir);
        command
    }

    /// Runs a `go` command in the module that must succeed.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn run_go(&self, toolchain: &Toolchain, args: &[&str]) -> Output {
        let output = self.go(toolchain, args).output();
        let output =
            output.unwrap_or_else(|error| panic!("cannot run {}: {error}", toolchain.go.display()));
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "go {args:?} failed with Go {}: {}",
            toolchain.version,
            printed
        );
        output
    }
}

/// Runs a check on every toolchain, each time in a new copy of a module whose build cache contains the standard library.
#[expect(clippy::print_stdout, reason = "cargo shows it if the check fails")]
pub fn with_each_toolchain(module: &str, check: impl Fn(&Toolchain, &Module)) {
    for toolchain in toolchains() {
        println!("go {}", toolchain.version);
        let module = Module::copy(module);
        module.sandbox.make_warm(&toolchain);
        check(&toolchain, &module);
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let complain = |error: std::io::Error| -> ! {
        panic!(
            "cannot copy {} to {}: {error}",
            from.display(),
            to.display()
        )
    };
    if let Err(error) = fs::create_dir_all(to) {
        complain(error);
    }
    let entries = fs::read_dir(from).unwrap_or_else(|error| complain(error));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| complain(error));
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), &target) {
            complain(error);
        }
    }
}
