//! `cargo xtask complete`: runs the example of that name in `tests/`, because xtask does not read recordings.

use anyhow::Result;

use crate::{setup, shell};

pub(crate) fn run(rounds: usize, minor: &str) -> Result<()> {
    example("complete", &[&rounds.to_string(), minor], minor)
}

/// Runs an example of `tests/` with Go of this minor version.
pub(crate) fn example(name: &str, args: &[&str], minor: &str) -> Result<()> {
    setup::minor(minor)?;
    let gotrace = shell::gotrace()?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "tests",
        "--example",
        name,
    ]))?;
    // The builds always run as root: tracing needs root, and the sandboxes are private.
    let mut example = shell::as_root("env")?;
    example.arg(format!("GOTRACE_BIN={}", gotrace.display()));
    example.arg(format!(
        "GOTRACE_TOOLCHAINS={}",
        tests::toolchain_dir().display()
    ));
    example.arg(shell::target().join("release/examples").join(name));
    shell::run(example.args(args))
}
