//! `cargo xtask test`: everything, in rings from the cheapest to the one that needs root, with a table of what each took.
//!
//! The workspace is built once, in the dev profile: every ring selects the same packages, so cargo unifies the same features and
//! reuses what is there. A ring that fails does not keep the others from running, except that nothing runs when the build fails.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{bpf, deb, fuzz, kernel_log, setup, shell, tidy, vm};

/// A ring of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ring {
    /// What the compiler does not check: `cargo xtask tidy`.
    Tidy,
    /// Formatting.
    Fmt,
    /// Build the workspace and its tests.
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

impl Ring {
    /// In the order they run. The live ring is last, so that its closing lines stand at the end.
    const ALL: [Self; 10] = [
        Self::Tidy,
        Self::Fmt,
        Self::Build,
        Self::Clippy,
        Self::Bpf,
        Self::Unit,
        Self::Fuzz,
        Self::Miri,
        Self::Vm,
        Self::Live,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
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
    let rings: Vec<Ring> = Ring::ALL
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
    let mut failed = Vec::new();
    for ring in rings {
        eprintln!("\n== {} ==", ring.name());
        let began = Instant::now();
        let result = ring.run();
        let took = began.elapsed();
        let verdict = match result {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::LeftOut(why)) => format!("left out: {why}"),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed.push(ring.name());
                "FAILED".to_owned()
            }
        };
        table.push((ring.name(), took, verdict));
        if failed.contains(&Ring::Build.name()) {
            break;
        }
    }
    print_table(&table, began.elapsed());
    if !failed.is_empty() {
        bail!(
            "failed: {}; run one again with `cargo xtask test --only RING`",
            failed.join(", ")
        );
    }
    Ok(())
}

/// The tests in `tests/tests/` and those beside the crates, run as root whoever runs this.
fn live() -> Result<Outcome> {
    let gotrace = shell::target().join("debug/gotrace");
    shell::run(shell::cargo().args(["build", "--all-targets", "--quiet"]))?;
    shell::run(shell::cargo().args(tests::STATIC_BUILD))?;
    let static_gotrace = shell::target()
        .join(tests::STATIC_TARGET)
        .join("debug/gotrace");
    let mut test = shell::cargo();
    // The harness is told where things are: sudo keeps neither PATH nor the knowledge of cargo.
    test.args(["test", "--no-fail-fast", "--test", "*"])
        .env("GOTRACE_BIN", gotrace)
        .env("GOTRACE_DEB", deb::quickly(&static_gotrace)?)
        .env("GOTRACE_STATIC_BIN", static_gotrace);
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
