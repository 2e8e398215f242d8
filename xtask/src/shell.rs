//! Starts other programs. Prints each command first, and includes it in the error.
//!
//! No shell is involved: arguments are passed unchanged.

use std::cell::RefCell;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

thread_local! {
    /// Receives the output of commands on this thread instead of the terminal.
    static OUTPUT: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Runs `work` and writes the output of its commands to `file`, so that other threads can print meanwhile.
pub(crate) fn with_output_to<T>(file: File, work: impl FnOnce() -> T) -> T {
    OUTPUT.set(Some(file));
    let done = work();
    OUTPUT.set(None);
    done
}

/// Root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Directory of cargo's build results.
pub(crate) fn target() -> PathBuf {
    tests::target_dir()
}

/// The cargo that started this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The release build of gotrace, built now, or the program in `GOTRACE_BIN`.
pub(crate) fn gotrace() -> Result<PathBuf> {
    if let Some(named) = env::var_os("GOTRACE_BIN") {
        return Ok(PathBuf::from(named));
    }
    run(cargo().args(["build", "--release", "--package", "tracer-user"]))?;
    Ok(target().join("release/gotrace"))
}

/// The release build of gotrace as one static program, built now.
pub(crate) fn static_gotrace() -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--release", "--package", "tracer-user"])
        .args(["--bin", "gotrace", "--target", tests::STATIC_TARGET]))?;
    Ok(target().join(tests::STATIC_TARGET).join("release/gotrace"))
}

/// The static gotrace that the live tests and the guests of `cargo xtask vm` run, built now.
pub(crate) fn tested_gotrace() -> Result<PathBuf> {
    run(cargo().args(tests::STATIC_BUILD))?;
    Ok(target().join(tests::STATIC_TARGET).join("live/gotrace"))
}

/// A command that runs as root: directly if this process is root, else through sudo.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root()? {
        return Ok(Command::new(program));
    }
    let Some(sudo) = find("sudo") else {
        bail!(
            "{} needs root: run as root, or install sudo",
            program.as_ref().to_string_lossy()
        );
    };
    let mut command = Command::new(sudo);
    command.arg("--").arg(program);
    Ok(command)
}

pub(crate) fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")
        .context("cannot read /proc/self")?
        .uid()
        == 0)
}

/// Prints the command and runs it. Fails if the command fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = format!("$ {}", command_line(command));
    let output = OUTPUT.with_borrow(|it| it.as_ref().map(File::try_clone).transpose());
    match output.context("cannot write to the ring's log")? {
        Some(mut file) => {
            writeln!(file, "{line}").context("cannot write to the ring's log")?;
            command.stdout(file.try_clone().context("cannot write to the ring's log")?);
            command.stderr(file);
        }
        None => eprintln!("{line}"),
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", command_line(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", command_line(command));
    }
    Ok(())
}

/// Runs a command and returns its stdout. Only the error shows its stderr.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{}`", command_line(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}",
            command_line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` did not print UTF-8", command_line(command)))
}

/// Returns whether a command starts and succeeds. Silent.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// The file of a command name in PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
