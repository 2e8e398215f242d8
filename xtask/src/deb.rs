//! `cargo xtask deb`: builds a Debian package of gotrace with cargo-deb.
//!
//! The package contains the files that `gotrace install` writes into a tree, so it equals an installation by hand. Its program is
//! static, so one package serves every Debian and its derivatives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{setup, shell};

/// Files of the package, under the target directory, where cargo-deb expects build results.
const TREE: &str = "release/tree";

/// Builds a package of a new release, or quickly of an existing program.
pub(crate) fn run(program: Option<&Path>) -> Result<()> {
    let package = if let Some(program) = program {
        for_test(program)?
    } else {
        setup::for_static()?;
        of(&shell::static_gotrace()?, &[])?
    };
    println!(
        "{}: install it with `sudo apt install PATH`",
        package.display()
    );
    Ok(())
}

/// Builds a package for a test.
pub(crate) fn for_test(program: &Path) -> Result<PathBuf> {
    of(program, &["--fast"])
}

fn of(program: &Path, args: &[&str]) -> Result<PathBuf> {
    let cargo_deb = setup::cargo_deb()?;
    let home = shell::target().join("deb");
    let tree = home.join(TREE);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    shell::run(
        Command::new(program)
            .args(["install", "--prefix", "/usr", "--root"])
            .arg(&tree),
    )?;
    let package = home.join("gotrace.deb");
    shell::run(
        Command::new(cargo_deb)
            .args(["--package", "tracer-user", "--no-build", "--no-strip"])
            .arg("--output")
            .arg(&package)
            .args(args)
            .current_dir(shell::root())
            .env("CARGO_TARGET_DIR", &home),
    )?;
    Ok(package)
}
