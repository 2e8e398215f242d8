//! The rings that need nightly Rust: a short run of every fuzz target, and decoding under Miri.
//!
//! A fuzz crate is a folder `fuzz/`, at the root or in a crate, with `fuzz_targets/*.rs` and a `corpus/<target>/` of seeds. The
//! ring passes libFuzzer's flags itself, without `cargo fuzz`. Without nightly Rust, both rings are left out, and the table
//! contains the reason.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::shell;
use crate::test::Outcome;

/// Run time of each target.
const SECONDS: u32 = 10;
/// Limits of time and memory for one input, and no progress output.
const LIMITS: [&str; 5] = [
    "-timeout=5",
    "-rss_limit_mb=1024",
    "-max_len=65536",
    "-verbosity=0",
    "-print_final_stats=1",
];

/// Coverage for libFuzzer. No sanitizer: the fuzzed crates contain no `unsafe`, and their own checks (overflow, bounds, debug
/// assertions) are enabled.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// Runs each target on its corpus, and on inputs that libFuzzer derives from it.
pub(crate) fn smoke() -> Result<Outcome> {
    if let Some(why) = missing(&[]) {
        return Ok(Outcome::LeftOut(why));
    }
    for dir in fuzz_crates()? {
        let target_dir = shell::target().join("fuzz");
        let mut build = nightly("cargo");
        build
            .args(["build", "--release", "--bins", "--manifest-path"])
            .arg(dir.join("Cargo.toml"));
        // With a target given, the flags do not apply to build scripts.
        build
            .args(["--target", &host(), "--target-dir"])
            .arg(&target_dir);
        shell::run(
            build
                .env("RUSTFLAGS", RUSTFLAGS)
                .env_remove("CARGO_ENCODED_RUSTFLAGS"),
        )?;
        run_all(&dir, &target_dir)?;
    }
    Ok(Outcome::Passed)
}

/// Runs one target per processor at a time.
fn run_all(dir: &Path, target_dir: &Path) -> Result<()> {
    let left = Mutex::new(targets(dir)?.into_iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<()> {
        while let Some(target) = next() {
            run_one(dir, target_dir, &target)?;
        }
        Ok(())
    };
    let n = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..n).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|it| match it.join() {
            Ok(worked) => worked,
            Err(_) => bail!("a thread that ran fuzz targets panicked"),
        })
    })
}

fn run_one(dir: &Path, target_dir: &Path, target: &str) -> Result<()> {
    let found = target_dir.join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut fuzz = Command::new(target_dir.join(host()).join("release").join(target));
    // New inputs go to the first folder; the seeds are only read.
    fuzz.arg(&found)
        .arg(dir.join("corpus").join(target))
        .args(LIMITS)
        .arg(format!("-max_total_time={SECONDS}"))
        .arg(format!("-artifact_prefix={}/", target_dir.display()))
        .current_dir(target_dir);
    // Printed as a whole, because other targets print at the same time.
    let output = fuzz
        .output()
        .with_context(|| format!("cannot run fuzz target {target}"))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    eprintln!("fuzz target {target}: {}\n{printed}", output.status);
    if !output.status.success() {
        bail!("fuzz target {target} failed: {}", output.status);
    }
    Ok(())
}

/// Runs the tests of `decode` under Miri, which detects undefined behaviour and out-of-bounds reads.
pub(crate) fn miri() -> Result<Outcome> {
    if let Some(why) = missing(&["miri", "rust-src"]) {
        return Ok(Outcome::LeftOut(why));
    }
    let mut miri = nightly("cargo");
    miri.args([
        "miri",
        "test",
        "--package",
        "tracer-abi",
        "--package",
        "tracer-core",
        "--lib",
        "--target-dir",
    ]);
    miri.arg(shell::target().join("miri"))
        .args(["--", "decode"]);
    // Property tests run few cases: Miri is a thousand times slower.
    miri.env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4");
    shell::run(&mut miri).map(|()| Outcome::Passed)
}

/// The reason why a nightly ring cannot run here, if any. Installs missing components.
fn missing(components: &[&str]) -> Option<String> {
    let install = "run `rustup toolchain install nightly`";
    if shell::find("rustup").is_none() || !shell::succeeds(nightly("rustc").arg("--version")) {
        return Some(format!("no nightly Rust here; {install}"));
    }
    let mut add = Command::new("rustup");
    add.args(["component", "add", "--toolchain", "nightly"])
        .args(components);
    if !components.is_empty() && !shell::succeeds(&mut add) {
        return Some(format!("nightly Rust lacks {}", components.join(" and ")));
    }
    None
}

/// A program of the nightly toolchain, independent of the current toolchain.
fn nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", program])
        .current_dir(shell::root());
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}

fn host() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}

/// Folders of all fuzz crates.
fn fuzz_crates() -> Result<Vec<PathBuf>> {
    let places = fs::read_dir(shell::root()).context("cannot list the root")?;
    let mut crates = vec![shell::root().join("fuzz")];
    for place in places {
        crates.push(place.context("cannot list the root")?.path().join("fuzz"));
    }
    crates.retain(|it| it.join("fuzz_targets").is_dir());
    crates.sort();
    if crates.is_empty() {
        bail!("no fuzz crate found");
    }
    Ok(crates)
}

fn targets(dir: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for file in fs::read_dir(dir.join("fuzz_targets"))
        .with_context(|| format!("cannot list {}", dir.display()))?
    {
        let path = file
            .with_context(|| format!("cannot list {}", dir.display()))?
            .path();
        if path.extension() == Some(OsStr::new("rs"))
            && let Some(name) = path.file_stem().and_then(OsStr::to_str)
        {
            targets.push(name.to_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
