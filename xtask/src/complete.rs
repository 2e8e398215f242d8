//! `cargo xtask complete`: hands over to the example of that name in `tests/`, which reads recordings; xtask does not.

use anyhow::Result;

use crate::{setup, shell};

pub(crate) fn run(rounds: usize, minor: &str) -> Result<()> {
    setup::minor(minor)?;
    let gotrace = shell::gotrace()?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "tests",
        "--example",
        "complete",
    ]))?;
    // Whoever runs this, the builds are root's: tracing needs it, and the sandboxes are private.
    let mut complete = shell::as_root("env")?;
    complete.arg(format!("GOTRACE_BIN={}", gotrace.display()));
    complete.arg(format!(
        "GOTRACE_TOOLCHAINS={}",
        tests::toolchain_dir().display()
    ));
    complete.arg(shell::target().join("release/examples/complete"));
    shell::run(complete.args([&rounds.to_string(), minor]))
}
