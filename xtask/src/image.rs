//! `cargo xtask image`: builds gotrace as one static program, and a container image that contains nothing else.
//!
//! The image is built from scratch, without a registry. The result is an archive that any runtime can load; no command publishes
//! it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{setup, shell};

/// Path under the target directory.
const ARCHIVE: &str = "gotrace-image.tar";

pub(crate) fn run(name: &str) -> Result<()> {
    setup::for_image()?;
    let built = shell::static_gotrace()?;
    let context = tempfile::tempdir().context("cannot make a temporary directory")?;
    // The image keeps this mode, so it must not depend on the umask.
    shell::run(
        Command::new("install")
            .args(["--mode=0755", "--no-target-directory"])
            .arg(&built)
            .arg(context.path().join("gotrace")),
    )?;
    let archive = shell::target().join(ARCHIVE);
    if archive.exists() {
        fs::remove_file(&archive)
            .with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    let store = tempfile::tempdir().context("cannot make a temporary directory")?;
    let buildah = |args: &[&str]| -> Result<Command> {
        let mut command = shell::as_root("buildah")?;
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(store.path().join("root"))
            .arg("--runroot")
            .arg(store.path().join("run"))
            .args(args);
        Ok(command)
    };
    shell::run(
        // The same files give the same image.
        buildah(&[
            "build",
            "--network=none",
            "--timestamp=0",
            "--tag",
            name,
            "--file",
        ])?
        .arg(shell::root().join("deploy/Containerfile"))
        .arg(context.path()),
    )?;
    shell::run(&mut buildah(&[
        "push",
        "--quiet",
        name,
        &format!("docker-archive:{}:{name}", archive.display()),
    ])?)?;
    shell::run(&mut buildah(&["rmi", "--all"])?)?;
    println!(
        "{name}: {}, including gotrace of {}, in {}: load it with `podman load` or `ctr image import`",
        megabytes(&archive)?,
        megabytes(&built)?,
        archive.display()
    );
    Ok(())
}

fn megabytes(file: &Path) -> Result<String> {
    let metadata = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
    let tenths = (metadata.len() + 50_000) / 100_000;
    Ok(format!("{}.{} MB", tenths / 10, tenths % 10))
}
