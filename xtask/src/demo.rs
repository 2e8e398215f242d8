//! `cargo xtask demo`: shows the summary of a real build from a new checkout.
//!
//! Builds the release binary, finds Go or installs one under the target directory, and runs `gotrace run`. The traced command is a
//! cold build of `tests/gomods/hello`, or the given command. Go's own settings do not change. Only the build cache is private, so
//! that packages are compiled.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{setup, shell};

/// Directories besides PATH that can contain Go, best first.
const USUAL_PLACES: &[&str] = &["/usr/local/go/bin", "/usr/lib/go/bin"];

pub(crate) fn run(command: &[String]) -> Result<()> {
    let gotrace = shell::gotrace()?;
    let go = find_go()?;
    let scratch = shell::target().join("demo");
    let mut path = OsString::from(go.parent().unwrap_or(Path::new("/usr/bin")));
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());

    // sudo receives the environment, because gotrace runs the build with the environment of sudo's caller.
    let mut run = shell::as_root(gotrace)?;
    run.args(["run", "--"]).env("PATH", path);
    if command.is_empty() {
        let cache = scratch.join("gocache");
        if cache.exists() {
            fs::remove_dir_all(&cache)
                .with_context(|| format!("cannot empty {}", cache.display()))?;
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        run.env("GOCACHE", cache)
            .current_dir(shell::root().join("tests/gomods/hello"));
        // The checkout can belong to another user, and git then refuses to read it.
        run.args(["go", "build", "-buildvcs=false", "-o"])
            .arg(scratch.join("hello"))
            .arg(".");
    } else {
        run.args(command);
    }
    shell::run(&mut run)
}

/// An installed Go, else the newest of the tests' toolchains.
fn find_go() -> Result<PathBuf> {
    let usual = USUAL_PLACES
        .iter()
        .map(|it| Path::new(it).join("go"))
        .find(|it| it.is_file());
    if let Some(go) = shell::find("go").or(usual) {
        return Ok(go);
    }
    let newest = tests::OFFICIAL_VERSIONS
        .last()
        .context("the list of Go versions for the tests is empty")?;
    setup::go(newest)
}
