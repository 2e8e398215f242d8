//! Starting other programs: said before it is done, and an error that names the command.
//!
//! No shell is involved: arguments are passed as they are.

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
    /// Where what is run says what it says, if not here.
    static ASIDE: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// What `work` runs on this thread writes into `file`, so that others can speak meanwhile.
pub(crate) fn aside<T>(file: File, work: impl FnOnce() -> T) -> T {
    ASIDE.set(Some(file));
    let done = work();
    ASIDE.set(None);
    done
}

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    tests::target_dir()
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The release build of gotrace, made now; or the one that `GOTRACE_BIN` names.
pub(crate) fn gotrace() -> Result<PathBuf> {
    if let Some(named) = env::var_os("GOTRACE_BIN") {
        return Ok(PathBuf::from(named));
    }
    run(cargo().args(["build", "--release", "--package", "tracer-user"]))?;
    Ok(target().join("release/gotrace"))
}

/// The release build of gotrace as one static program, made now.
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

/// A command that runs as root: itself when this is root already, else through sudo.
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

/// Says the command, runs it, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = format!("$ {}", said(command));
    let aside = ASIDE.with_borrow(|it| it.as_ref().map(File::try_clone).transpose());
    match aside.context("cannot write aside")? {
        Some(mut file) => {
            writeln!(file, "{line}").context("cannot write aside")?;
            command.stdout(file.try_clone().context("cannot write aside")?);
            command.stderr(file);
        }
        None => eprintln!("{line}"),
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", said(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", said(command));
    }
    Ok(())
}

/// Runs a command for what it prints on stdout; what it says on stderr is shown only by the error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{}`", said(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}",
            said(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed what is not UTF-8", said(command)))
}

/// Whether a command can be run and succeeds. Silent.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// The file a command name stands for, by PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn said(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
