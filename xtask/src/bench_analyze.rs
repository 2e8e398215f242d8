//! `cargo xtask bench analyze`: time and peak memory of `gotrace analyze` beside other tools on the same files.
//!
//! The files are Go programs of about 2 to 100 MB. Some are commands of an official Go release, one of them built here with symbols and
//! debug info. The others are from Debian's packages, which are downloaded and unpacked but not installed. They are stripped, so nm and
//! bloaty find little in them.
//!
//! All tools run on a file in the same round, in the order below, with the file in the page cache. The results are medians of wall time
//! and of the time of all cores together. A tool that is not installed here is left out and reported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::child::{self, Run, mebibytes, megabytes};
use crate::{download, setup, shell};

const ROUNDS: usize = 5;
/// Its `nm` is there ready-made; later releases compile it first.
const GO: &str = "1.24.11";
/// Debian packages with a large Go program, and where it is in them.
const PACKAGES: [(&str, &str); 3] = [
    ("containerd", "usr/bin/containerd"),
    ("hugo", "usr/bin/hugo"),
    ("packer", "usr/bin/packer"),
];

/// The build arguments of the Go compiler, and the name of the file. It has 6 MB of debug info compressed, 30 MB plain.
const BUILDS: [(&str, &str); 2] = [
    ("compile-dwarf", "-ldflags="),
    ("compile-dwarf-plain", "-ldflags=-compressdwarf=false"),
];

pub(crate) fn bench_analyze() -> Result<()> {
    let gotrace = shell::gotrace()?;
    let go = setup::go(GO)?;
    let mut left_out = Vec::new();
    for name in ["bloaty", "openssl"] {
        if shell::find(name).is_none() {
            left_out.push(name);
        }
    }
    if !left_out.is_empty() {
        println!("not installed here, left out: {}", left_out.join(", "));
    }
    for file in files(&go)? {
        compare(&gotrace, &go, &file)?;
    }
    Ok(())
}

fn files(go: &Path) -> Result<Vec<PathBuf>> {
    let root = go
        .parent()
        .and_then(Path::parent)
        .context("go has no GOROOT")?;
    let tools = root.join("pkg/tool").join(format!("linux_{}", goarch()));
    let mut files = vec![root.join("bin/gofmt"), go.to_owned(), tools.join("compile")];
    let place = shell::target().join("bench-analyze");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    for (name, flag) in BUILDS {
        let file = place.join(name);
        if !file.exists() {
            build(go, &place, &file, flag)?;
        }
        files.push(file);
    }
    for (package, path) in PACKAGES {
        match download::debian(package) {
            Ok(unpacked) => files.push(unpacked.root.join(path)),
            Err(error) => println!("{package} cannot be downloaded, left out: {error:#}"),
        }
    }
    files.sort_by_key(|file| fs::metadata(file).map_or(0, |metadata| metadata.len()));
    Ok(files)
}

/// The compiler's own source is in GOROOT, and needs nothing else.
fn build(go: &Path, place: &Path, file: &Path, flag: &str) -> Result<()> {
    shell::run(
        Command::new(go)
            .args(["build", flag, "-o"])
            .arg(file)
            .arg("cmd/compile")
            .env("GOCACHE", place.join("cache"))
            .env("GOFLAGS", "")
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local")
            .current_dir(place),
    )
}

fn compare(gotrace: &Path, go: &Path, file: &Path) -> Result<()> {
    let size = fs::metadata(file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    child::warm(file)?;
    let command = |program: &Path, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).arg(file);
        command
    };
    let mut tools: Vec<(&str, Command)> = vec![
        (
            "gotrace analyze",
            command(gotrace, &["analyze", "--format", "json"]),
        ),
        ("go version -m", command(go, &["version", "-m"])),
        (
            "go tool nm -size -sort size",
            command(go, &["tool", "nm", "-size", "-sort", "size"]),
        ),
        ("sha256sum", command(Path::new("sha256sum"), &[])),
    ];
    if let Some(openssl) = shell::find("openssl") {
        tools.push((
            "openssl dgst -sha256",
            command(&openssl, &["dgst", "-sha256"]),
        ));
    }
    if let Some(bloaty) = shell::find("bloaty") {
        tools.push(("bloaty -d symbols", command(&bloaty, &["-d", "symbols"])));
    }
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); tools.len()];
    for _ in 0..ROUNDS {
        for ((name, command), runs) in tools.iter_mut().zip(&mut runs) {
            // nm fails on a file without symbols, after reading it.
            runs.push(child::run(command).with_context(|| format!("{name} {}", file.display()))?);
        }
    }
    println!("\n{}  {:.1} MB", file.display(), megabytes(size));
    let ours = runs
        .first()
        .map(|runs| child::median(runs))
        .context("nothing was measured")?;
    for ((name, _), runs) in tools.iter().zip(&runs) {
        let it = child::median(runs);
        println!(
            "  {name:<28} {:>8.3} s  x{:<7.2} {:>8.3} s of CPU  x{:<7.2} {:>8.1} MiB",
            it.seconds,
            it.seconds / ours.seconds,
            it.cpu,
            it.cpu / ours.cpu,
            mebibytes(it.peak)
        );
    }
    let over = mebibytes(ours.peak) - megabytes(size) * 1e6 / f64::from(1 << 20);
    println!("  gotrace's peak is the file and {over:.1} MiB more");
    Ok(())
}

fn goarch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}
