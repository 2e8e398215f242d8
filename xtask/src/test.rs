//! `cargo xtask test`: runs all rings, from the cheapest to the one that needs root, and prints a table of times and results.
//!
//! The workspace is built once, in the dev profile: every ring selects the same packages, so cargo unifies the same features and
//! reuses the build. If a ring fails, the others still run, except after a failed build.

use std::env;
use std::fs::{self, File};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{bpf, deb, fuzz, kernel_log, setup, shell, tidy, vm};

/// A ring of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ring {
    /// House rules that the compiler does not check: `cargo xtask tidy`.
    Tidy,
    /// Formatting.
    Fmt,
    /// Build the workspace and its tests.
    Build,
    /// Lints, as errors.
    Clippy,
    /// Comparison of the committed BPF objects with a rebuild: `cargo xtask bpf --check`.
    Bpf,
    /// Tests inside the crates and in their documentation.
    Unit,
    /// A short run of each fuzz target.
    Fuzz,
    /// Decoding under Miri.
    Miri,
    /// Real builds on other kernels, in an emulator: `cargo xtask vm`.
    Vm,
    /// Tests over real builds, as root.
    Live,
}

/// Rings that run first, one after another.
const FIRST: [Ring; 3] = [Ring::Tidy, Ring::Fmt, Ring::Build];
/// Lanes that run in parallel, because each uses only one processor for half of its time. Two rings need the workspace's build
/// directory, where cargo allows one build at a time. They run after the other lane has finished its own build there.
const LANES: [&[Ring]; 2] = [
    &[Ring::Bpf, Ring::Vm],
    &[Ring::Fuzz, Ring::Miri, Ring::Clippy, Ring::Unit],
];
/// The live ring runs alone and last, so that its final lines end the output.
const LAST: [Ring; 1] = [Ring::Live];

impl Ring {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// True if the ring needs what `setup` installs.
    fn needs_setup(self) -> bool {
        matches!(self, Self::Live | Self::Unit | Self::Vm)
    }

    fn run(self) -> Result<Outcome> {
        let cargo = |args: &[&str]| shell::run(shell::cargo().args(args)).map(|()| Outcome::Passed);
        match self {
            Self::Tidy => tidy::run().map(|()| Outcome::Passed),
            Self::Fmt => cargo(&["fmt", "--all", "--check"]),
            Self::Build => cargo(&["build", "--all-targets"]),
            Self::Clippy => cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"]),
            Self::Bpf => bpf::bpf(true)
                .and_then(|()| kernel_log::check())
                .map(|()| Outcome::Passed),
            Self::Unit => {
                cargo(&["test", "--no-fail-fast", "--lib", "--bins"])?;
                let detectors = ["--package", "tracer-core", "--example", "detectors"];
                cargo(&[&["test", "--no-fail-fast"], &detectors[..]].concat())?;
                cargo(&["test", "--no-fail-fast", "--doc"])
            }
            Self::Fuzz => fuzz::smoke(),
            Self::Miri => fuzz::miri(),
            Self::Vm => vm::run(&[]).map(|()| Outcome::Passed),
            Self::Live => live(),
        }
    }
}

/// Result of a ring that did not fail.
pub(crate) enum Outcome {
    Passed,
    /// The ring did not run, or ran in part; contains the missing requirement.
    LeftOut(String),
}

pub(crate) fn run(only: &[Ring]) -> Result<()> {
    let all = [&FIRST[..], LANES[0], LANES[1], &LAST].concat();
    let rings: Vec<Ring> = all
        .into_iter()
        .filter(|it| only.is_empty() || only.contains(it))
        .collect();
    let began = Instant::now();
    let mut table = Vec::new();
    let of = |some: &[Ring]| -> Vec<Ring> {
        let wanted = some.iter().filter(|it| rings.contains(it));
        wanted.copied().collect()
    };
    let mut done = if rings.iter().any(|it| it.needs_setup()) {
        // The setup mostly waits for the network, so the workspace compiles meanwhile.
        thread::scope(|scope| {
            let first = scope.spawn(|| run_in_order(of(&FIRST)));
            setup::for_tests()?;
            table.push(("setup".to_owned(), began.elapsed(), "passed".to_owned()));
            join(first)
        })?
    } else {
        of(&FIRST).into_iter().map(RingResult::of).collect()
    };
    if done
        .iter()
        .all(|it| it.ring != Ring::Build || !it.is_failure)
    {
        done.extend(side_by_side(LANES.map(of))?);
        done.extend(of(&LAST).into_iter().map(RingResult::of));
    }
    let failed: Vec<String> = done
        .iter()
        .filter(|it| it.is_failure)
        .map(|it| it.ring.name())
        .collect();
    table.extend(done.into_iter().map(RingResult::row));
    print_table(&table, began.elapsed());
    if !failed.is_empty() {
        bail!(
            "failed: {}; run one again with `cargo xtask test --only RING`",
            failed.join(", ")
        );
    }
    Ok(())
}

/// The result of a ring.
struct RingResult {
    ring: Ring,
    took: Duration,
    verdict: String,
    is_failure: bool,
}

impl RingResult {
    fn of(ring: Ring) -> Self {
        eprintln!("\n== {} ==", ring.name());
        let began = Instant::now();
        let result = ring.run();
        let took = began.elapsed();
        let (verdict, is_failure) = match result {
            Ok(Outcome::Passed) => ("passed".to_owned(), false),
            Ok(Outcome::LeftOut(why)) => (format!("left out: {why}"), false),
            Err(error) => {
                eprintln!("error: {}: {error:#}", ring.name());
                ("FAILED".to_owned(), true)
            }
        };
        Self {
            ring,
            took,
            verdict,
            is_failure,
        }
    }

    fn row(self) -> (String, Duration, String) {
        (self.ring.name(), self.took, self.verdict)
    }
}

/// Runs each lane on a thread. The output of a ring goes to a file, which is printed when the ring ends.
fn side_by_side(lanes: [Vec<Ring>; 2]) -> Result<Vec<RingResult>> {
    if lanes.iter().any(Vec::is_empty) {
        return Ok(lanes.into_iter().flatten().map(RingResult::of).collect());
    }
    thread::scope(|scope| {
        let lanes = lanes.map(|lane| scope.spawn(|| run_in_order(lane)));
        let mut done = Vec::new();
        for lane in lanes {
            done.extend(join(lane)?);
        }
        Ok(done)
    })
}

fn run_in_order(rings: Vec<Ring>) -> Result<Vec<RingResult>> {
    rings.into_iter().map(run_and_print).collect()
}

fn join(rings: ScopedJoinHandle<'_, Result<Vec<RingResult>>>) -> Result<Vec<RingResult>> {
    match rings.join() {
        Ok(results) => results,
        Err(_) => bail!("a thread that ran rings panicked"),
    }
}

fn run_and_print(ring: Ring) -> Result<RingResult> {
    let path = shell::target().join(format!("ring-{}.log", ring.name()));
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let done = shell::with_output_to(file, || RingResult::of(ring));
    let printed = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    eprintln!(
        "\n== output of {} ==\n{}",
        ring.name(),
        String::from_utf8_lossy(&printed)
    );
    Ok(done)
}

/// Runs the tests in `tests/tests/` and those beside the crates, always as root. The program under test is the static one, which
/// packages and images contain.
fn live() -> Result<Outcome> {
    shell::run(shell::cargo().args(["build", "--all-targets", "--quiet"]))?;
    let gotrace = shell::tested_gotrace()?;
    let mut test = shell::cargo();
    // The variables pass paths to the tests, because sudo keeps neither PATH nor cargo's variables.
    test.args(["test", "--no-fail-fast", "--test", "*"])
        .env("GOTRACE_BIN", &gotrace)
        .env("GOTRACE_DEB", deb::for_test(&gotrace)?)
        .env("GOTRACE_STATIC_BIN", gotrace);
    test.env("GOTRACE_TOOLCHAINS", tests::toolchain_dir());
    if !shell::is_root()? {
        test.env(
            runner_variable(),
            "sudo --preserve-env=GOTRACE_BIN,GOTRACE_DEB,GOTRACE_STATIC_BIN,GOTRACE_TOOLCHAINS,CARGO_TARGET_DIR,TMPDIR --",
        );
    }
    shell::run(&mut test).map(|()| Outcome::Passed)
}

/// The variable with the program through which cargo starts tests.
fn runner_variable() -> String {
    let target = format!(
        "{}_unknown_linux_{}",
        env::consts::ARCH,
        if cfg!(target_env = "musl") {
            "musl"
        } else {
            "gnu"
        }
    );
    format!("CARGO_TARGET_{}_RUNNER", target.to_uppercase())
}

fn print_table(table: &[(String, Duration, String)], total: Duration) {
    println!("\n{:<8} {:>9}", "ring", "seconds");
    for (name, took, verdict) in table {
        println!("{name:<8} {:>9.1}  {verdict}", took.as_secs_f64());
    }
    println!("{:<8} {:>9.1}", "total", total.as_secs_f64());
}
