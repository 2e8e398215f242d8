//! `cargo xtask deb`: a Debian package of gotrace, by cargo-deb.
//!
//! It holds what `gotrace install` puts into a tree, so a package and an installation by hand are the same files. The program in it is
//! static: one package serves every Debian and what comes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{setup, shell};

/// Under the target directory: what the package is made of, where cargo-deb takes what was built for.
const TREE: &str = "release/tree";

/// Of a release that is built for it, or in a hurry of a program that is there.
pub(crate) fn run(program: Option<&Path>) -> Result<()> {
    let package = if let Some(program) = program {
        quickly(program)?
    } else {
        setup::for_static()?;
        of(&shell::static_gotrace()?, &[])?
    };
    println!(
        "{}: `sudo apt install` takes it by its path",
        package.display()
    );
    Ok(())
}

/// For a test.
pub(crate) fn quickly(program: &Path) -> Result<PathBuf> {
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
