//! Builds and runs the `gotrace` under test.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::sandbox::SYSTEM_PATH;
use crate::toolchain::target_dir;

/// The built binary: `GOTRACE_BIN`, or the result of a cargo build of this checkout. Tests never run a stale binary.
///
/// # Panics
///
/// If it does not build.
pub fn gotrace() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| env::var_os("GOTRACE_BIN").map_or_else(build, PathBuf::from))
        .clone()
}

/// Target of static programs.
pub const STATIC_TARGET: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-musl"
} else {
    "x86_64-unknown-linux-musl"
};
/// Arguments of cargo for the static program.
pub const STATIC_BUILD: &[&str] = &[
    "build",
    "--quiet",
    "--package",
    "tracer-user",
    "--bin",
    "gotrace",
    "--target",
    STATIC_TARGET,
    "--profile",
    "live",
];

/// The static program: `GOTRACE_STATIC_BIN`, or built now.
///
/// # Panics
///
/// If it does not build.
pub fn static_gotrace() -> PathBuf {
    env::var_os("GOTRACE_STATIC_BIN").map_or_else(
        || build_with(STATIC_BUILD, &format!("{STATIC_TARGET}/live/gotrace")),
        PathBuf::from,
    )
}

/// A Debian package of the static program: `GOTRACE_DEB`, or built now.
///
/// # Panics
///
/// If it cannot be made.
pub fn package() -> PathBuf {
    let make = || {
        let program = static_gotrace();
        let xtask = ["run", "--quiet", "--package", "xtask", "--", "deb", "--of"];
        let args = xtask.iter().map(OsStr::new).chain([program.as_os_str()]);
        build_with(args, "deb/gotrace.deb")
    };
    env::var_os("GOTRACE_DEB").map_or_else(make, PathBuf::from)
}

fn build() -> PathBuf {
    let args = [
        "build",
        "--quiet",
        "--package",
        "tracer-user",
        "--bin",
        "gotrace",
    ];
    build_with(args, "debug/gotrace")
}

fn build_with<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, made: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    match built {
        Ok(status) if status.success() => target_dir().join(made),
        Ok(status) => panic!("cargo build of gotrace failed: {status}"),
        Err(error) => panic!("cannot run cargo: {error}"),
    }
}

/// A `gotrace` command with only this environment and a plain PATH. It inherits neither the caller's Go settings nor sudo's
/// variables, because the tests run as root. A test of sudo sets those variables itself.
pub fn gotrace_command<K: AsRef<OsStr>, V: AsRef<OsStr>>(
    env: impl IntoIterator<Item = (K, V)>,
) -> Command {
    let mut command = Command::new(gotrace());
    command.env_clear().env("PATH", SYSTEM_PATH).envs(env);
    command
}

/// Runs `gotrace ARGS` with this environment, and waits for it.
///
/// # Panics
///
/// If it cannot be started.
pub fn run_gotrace<A, K, V>(
    args: impl IntoIterator<Item = A>,
    env: impl IntoIterator<Item = (K, V)>,
) -> Output
where
    A: AsRef<OsStr>,
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let output = gotrace_command(env).args(args).output();
    output.unwrap_or_else(|error| panic!("cannot run {}: {error}", gotrace().display()))
}

/// Reads a JSON file that gotrace wrote.
///
/// # Panics
///
/// If it cannot be read, or is not JSON.
pub fn read_json(file: &Path) -> Value {
    let text = std::fs::read(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    serde_json::from_slice(&text)
        .unwrap_or_else(|error| panic!("{} is not JSON: {error}", file.display()))
}
