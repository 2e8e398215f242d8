//! `cargo xtask demo`: from a fresh checkout to the summary of a real build.
//!
//! Builds the release binary, finds a Go or installs one under the target directory, and runs `gotrace run` on a cold build of
//! `tests/gomods/hello`, or on the command that was given. Nothing of Go's own settings is changed; only the build cache is a
//! private one, so that there is something to see.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{setup, shell};

/// Where a Go may be besides PATH, best first.
const USUAL_PLACES: &[&str] = &["/usr/local/go/bin", "/usr/lib/go/bin"];

pub(crate) fn run(command: &[String]) -> Result<()> {
    let gotrace = shell::gotrace()?;
    let go = find_go()?;
    let scratch = shell::target().join("demo");
    let mut path = OsString::from(go.parent().unwrap_or(Path::new("/usr/bin")));
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());

    // The environment is given to sudo, where there is one: gotrace runs the build with the environment of whoever called sudo.
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
        // A checkout may be somebody else's than the caller's, which git refuses to look into.
        run.args(["go", "build", "-buildvcs=false", "-o"])
            .arg(scratch.join("hello"))
            .arg(".");
    } else {
        run.args(command);
    }
    shell::run(&mut run)
}

/// A Go that is there, else the newest of the tests'.
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
        .context("the tests name no Go version")?;
    setup::go(newest)
}
