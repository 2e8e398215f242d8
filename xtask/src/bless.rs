//! `cargo xtask bless`: tests write what they got where they keep what they expect (`expect-test`).

use anyhow::Result;

use crate::shell;

pub(crate) fn run() -> Result<()> {
    let unit = ["test", "--lib", "--bins"];
    shell::run(shell::cargo().args(unit).env("UPDATE_EXPECT", "1"))?;
    let files = [
        "test",
        "--package",
        "tracer-core",
        "--package",
        "tracer-binary",
        "--package",
        "tracer-user",
        "--test",
        "*",
    ];
    shell::run(shell::cargo().args(files).env("UPDATE_EXPECT", "1"))?;
    shell::run(
        std::process::Command::new("git")
            .args(["diff", "--stat"])
            .current_dir(shell::root()),
    )
}
