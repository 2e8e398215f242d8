//! `cargo xtask test`: everything, in rings from the cheapest to the one that needs root, with a table of what each took.
//!
//! The workspace is built once, in the dev profile: every ring selects the same packages, so cargo unifies the same features and
//! reuses what is there. A ring that fails does not keep the others from running, except that nothing runs when the build fails.

use std::env;
use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{bpf, deb, fuzz, kernel_log, setup, shell, tidy, vm};

/// A ring of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ring {
    /// What the compiler does not check: `cargo xtask tidy`.
    Tidy,
    /// Formatting.
    Fmt,
    /// Build the workspace and its tests, and the static program that they run.
    Build,
    /// Lints, as errors.
    Clippy,
    /// The committed BPF objects are what their sources give: `cargo xtask bpf --check`.
    Bpf,
    /// Tests inside the crates and in their documentation.
    Unit,
    /// Each fuzz target for a short while.
    Fuzz,
    /// Decoding under Miri.
    Miri,
    /// Real builds on other kernels, in an emulator: `cargo xtask vm`.
    Vm,
    /// Tests over real builds, as root.
    Live,
}

/// One after the other.
const FIRST: [Ring; 3] = [Ring::Tidy, Ring::Fmt, Ring::Build];
/// Side by side, for half of the time each has one processor busy. The two that need the workspace's own build directory come when the
/// other lane has built what it needs: only one can build there at a time.
const LANES: [&[Ring]; 2] = [
    &[Ring::Bpf, Ring::Vm],
    &[Ring::Fuzz, Ring::Miri, Ring::Clippy, Ring::Unit],
];
/// The live ring is alone, and last: its closing lines stand at the end.
const LAST: [Ring; 1] = [Ring::Live];

impl Ring {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn run(self) -> Result<Outcome> {
        let cargo = |args: &[&str]| shell::run(shell::cargo().args(args)).map(|()| Outcome::Passed);
        match self {
            Self::Tidy => tidy::run().map(|()| Outcome::Passed),
            Self::Fmt => cargo(&["fmt", "--all", "--check"]),
            Self::Build => {
                cargo(&["build", "--all-targets"])?;
                shell::tested_gotrace().map(|_| Outcome::Passed)
            }
            Self::Clippy => cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"]),
            Self::Bpf => bpf::bpf(true)
                .and_then(|()| kernel_log::check())
                .map(|()| Outcome::Passed),
            Self::Unit => {
                cargo(&["test", "--no-fail-fast", "--lib", "--bins"])?;
                cargo(&["test", "--no-fail-fast", "--doc"])
            }
            Self::Fuzz => fuzz::smoke(),
            Self::Miri => fuzz::miri(),
            Self::Vm => vm::run(&[]).map(|()| Outcome::Passed),
            Self::Live => live(),
        }
    }
}

/// How a ring ended that did not fail.
pub(crate) enum Outcome {
    Passed,
    /// Not run, or in part: what this machine lacks.
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
    if rings
        .iter()
        .any(|it| matches!(it, Ring::Live | Ring::Unit | Ring::Vm))
    {
        setup::for_tests()?;
        table.push(("setup".to_owned(), began.elapsed(), "passed".to_owned()));
    }
    let of = |some: &[Ring]| -> Vec<Ring> {
        let wanted = some.iter().filter(|it| rings.contains(it));
        wanted.copied().collect()
    };
    let mut done: Vec<Done> = of(&FIRST).into_iter().map(Done::of).collect();
    if done
        .iter()
        .all(|it| it.ring != Ring::Build || !it.is_failure)
    {
        done.extend(side_by_side(LANES.map(of))?);
        done.extend(of(&LAST).into_iter().map(Done::of));
    }
    let failed: Vec<String> = done
        .iter()
        .filter(|it| it.is_failure)
        .map(|it| it.ring.name())
        .collect();
    table.extend(done.into_iter().map(Done::row));
    print_table(&table, began.elapsed());
    if !failed.is_empty() {
        bail!(
            "failed: {}; run one again with `cargo xtask test --only RING`",
            failed.join(", ")
        );
    }
    Ok(())
}

/// What came of a ring.
struct Done {
    ring: Ring,
    took: Duration,
    verdict: String,
    is_failure: bool,
}

impl Done {
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

/// Each lane on a thread. What is run says what it says into a file, which is shown when its ring is over.
fn side_by_side(lanes: [Vec<Ring>; 2]) -> Result<Vec<Done>> {
    if lanes.iter().any(Vec::is_empty) {
        return Ok(lanes.into_iter().flatten().map(Done::of).collect());
    }
    thread::scope(|scope| {
        let lanes = lanes.map(|lane| {
            scope.spawn(|| {
                lane.into_iter()
                    .map(told_at_its_end)
                    .collect::<Result<Vec<Done>>>()
            })
        });
        let mut done = Vec::new();
        for lane in lanes {
            match lane.join() {
                Ok(lane) => done.extend(lane?),
                Err(_) => bail!("a thread that ran rings panicked"),
            }
        }
        Ok(done)
    })
}

fn told_at_its_end(ring: Ring) -> Result<Done> {
    let path = shell::target().join(format!("ring-{}.log", ring.name()));
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let done = shell::aside(file, || Done::of(ring));
    let said = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    eprintln!(
        "\n== what was said by {} ==\n{}",
        ring.name(),
        String::from_utf8_lossy(&said)
    );
    Ok(done)
}

/// The tests in `tests/tests/` and those beside the crates, run as root whoever runs this. The program under test is the static one,
/// which is what packages and images hold.
fn live() -> Result<Outcome> {
    shell::run(shell::cargo().args(["build", "--all-targets", "--quiet"]))?;
    let gotrace = shell::tested_gotrace()?;
    let mut test = shell::cargo();
    // The harness is told where things are: sudo keeps neither PATH nor the knowledge of cargo.
    test.args(["test", "--no-fail-fast", "--test", "*"])
        .env("GOTRACE_BIN", &gotrace)
        .env("GOTRACE_DEB", deb::quickly(&gotrace)?)
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

/// The variable that names the program cargo starts tests through.
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
