//! `cargo xtask bench what-if`: builds generated modules on one CPU and on two, and compares each time with the one that
//! `gotrace what-if --cores` predicts from the other build.
//!
//! The modules differ in the number of their packages, in the width of the graph and in the work of a package. The standard library comes
//! from the cache, so that the generated packages are most of each build. Each build has new contents of all packages.

use std::fmt::Write as _;
use std::io;
use std::mem;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tests::{Module, Toolchain};

use crate::{setup, shell};

/// The compared numbers of CPUs.
const CPUS: [usize; 2] = [1, 2];
/// Module path of the module that the packages are added to.
const MODULE: &str = "tiny";
const MODULE_PATH: &str = "example.com/tiny";

/// The shape of a module.
struct Shape {
    packages: usize,
    /// A package imports some of so many packages before it. One: a chain.
    window: usize,
    /// Functions of a package; some packages have four times as many.
    functions: usize,
}

/// A module's two times in nanoseconds: measured, and predicted from the other build.
#[derive(Clone, Copy, Default)]
struct Times {
    measured: f64,
    predicted: f64,
}

impl Times {
    /// In percent.
    fn error(self) -> f64 {
        (self.predicted / self.measured - 1.0) * 100.0
    }
}

pub(crate) fn run(n_modules: usize, minor: &str) -> Result<()> {
    if !shell::is_root()? {
        bail!("tracing needs root: run this command as root");
    }
    setup::minor(minor)?;
    let toolchain = tests::toolchain(minor);
    let gotrace = shell::gotrace()?;
    println!(
        "{:<28} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8}",
        "module", "1 CPU", "predicted", "error", "2 CPUs", "predicted", "error"
    );
    let mut errors: Vec<f64> = Vec::new();
    for n in 0..n_modules {
        let shape = shape(n);
        let [one, two] =
            of_module(&gotrace, &toolchain, n, &shape).with_context(|| format!("module {n}"))?;
        let name = format!("{} packages, window {}", shape.packages, shape.window);
        println!(
            "{name:<28} {:>7.2} s {:>7.2} s {:>6.1} % {:>7.2} s {:>7.2} s {:>6.1} %",
            one.measured / 1e9,
            one.predicted / 1e9,
            one.error(),
            two.measured / 1e9,
            two.predicted / 1e9,
            two.error()
        );
        errors.extend([one, two].map(|it| it.error().abs()));
    }
    errors.sort_by(f64::total_cmp);
    let median = errors.get(errors.len() / 2).copied().unwrap_or(f64::NAN);
    let worst = errors.last().copied().unwrap_or(f64::NAN);
    println!(
        "{} predictions: median error {median:.1} %, worst {worst:.1} %",
        errors.len()
    );
    Ok(())
}

/// From a chain to a wide graph, and from few large packages to many small ones.
fn shape(n: usize) -> Shape {
    Shape {
        packages: 12 + n * 7 % 40,
        window: [1, 2, 3, 5, 8, 13, 21, 40][n % 8],
        functions: 20 + n * 29 % 60,
    }
}

fn of_module(gotrace: &Path, toolchain: &Toolchain, n: usize, shape: &Shape) -> Result<[Times; 2]> {
    let module = Module::copy(MODULE);
    module.sandbox.make_warm(toolchain);
    let store = module.sandbox.path().join("history.db");
    let mut times = [Times::default(); 2];
    // The first build also reads the toolchain and the standard library from disk, and is not compared.
    for (round, cpus) in [2].into_iter().chain(CPUS).enumerate() {
        generate(&module, shape, n, round)?;
        let mut build = Command::new(gotrace);
        build
            .args([
                "run",
                "--detail",
                "cache-key",
                "--format",
                "json",
                "--output",
            ])
            .arg(module.sandbox.out().join("trace.json"))
            .arg("--store")
            .arg(&store)
            .arg("--")
            .arg(&toolchain.go)
            .args(["build", "-o"])
            .arg(module.sandbox.out().join("program"))
            .arg(".")
            .current_dir(module.dir())
            .env_clear()
            .envs(module.sandbox.env(toolchain));
        pin(&mut build, cpus);
        shell::read(&mut build)?;
        let Some(index) = round.checked_sub(1) else {
            continue;
        };
        let mut list = Command::new(gotrace);
        list.args(["builds", "--format", "jsonl", "--limit", "1", "--store"]);
        let newest = shell::read(list.arg(&store))?;
        let newest: Value = serde_json::from_str(newest.lines().next().unwrap_or_default())?;
        let id = newest
            .get("id")
            .and_then(Value::as_str)
            .context("no build")?;
        let other = CPUS.len() - 1 - index;
        let wanted = CPUS.get(other).context("two numbers of CPUs")?;
        let mut ask = Command::new(gotrace);
        ask.args([
            "what-if",
            id,
            "--format",
            "json",
            "--cores",
            &wanted.to_string(),
        ]);
        let answer: Value = serde_json::from_str(&shell::read(ask.arg("--store").arg(&store))?)?;
        let ns = |field: &str| {
            let value = answer.pointer(&format!("/prediction/{field}"));
            value
                .and_then(Value::as_f64)
                .with_context(|| format!("no {field}"))
        };
        if let Some(own) = times.get_mut(index) {
            own.measured = ns("measured_ns")?;
        }
        if let Some(other) = times.get_mut(other) {
            other.predicted = ns("predicted_ns")?;
        }
    }
    Ok(times)
}

/// Runs the command on the first CPUs of this process only.
fn pin(command: &mut Command, n: usize) {
    let pin = move || {
        // SAFETY: an all-zero set is valid.
        let mut own: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        let size = mem::size_of::<libc::cpu_set_t>();
        // SAFETY: the set is valid for writing its size.
        if unsafe { libc::sched_getaffinity(0, size, &raw mut own) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let all = 0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
        // SAFETY: each number is below the size of the set.
        let usable = all.filter(|it| unsafe { libc::CPU_ISSET(*it, &own) });
        for cpu in usable.take(n) {
            // SAFETY: as above.
            unsafe { libc::CPU_SET(cpu, &mut set) };
        }
        // SAFETY: the set is valid for reading its size.
        if unsafe { libc::sched_setaffinity(0, size, &raw const set) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls.
    unsafe { command.pre_exec(pin) };
}

/// Writes all packages, with contents that no earlier build had.
fn generate(module: &Module, shape: &Shape, seed: usize, build: usize) -> Result<()> {
    let mut random = Random(u64::try_from(seed)? + 1);
    let mut main = String::from("package main\n\nimport (\n");
    for n in 0..shape.packages {
        let mut text = format!("package p{n:03}\n\nimport (\n");
        let mut imports: Vec<usize> = Vec::new();
        for _ in 0..3.min(n) {
            let back = 1 + random.below(shape.window.min(n));
            if !imports.contains(&(n - back)) {
                imports.push(n - back);
            }
        }
        for it in &imports {
            writeln!(text, "\t\"{MODULE_PATH}/p{it:03}\"")?;
        }
        writeln!(text, ")\n\nconst build = {build}\n")?;
        let functions = shape.functions * if random.below(4) == 0 { 4 } else { 1 };
        for f in 0..functions {
            let below = imports.first().map_or_else(
                || "x".to_owned(),
                |it| format!("p{it:03}.F{}(x, m)", random.below(shape.functions)),
            );
            writeln!(
                text,
                "func F{f}(x int, m map[string]int) int {{\n\ts := []int{{x, {f}, build}}\n\tfor k, v := range m {{\n\t\tif v%{} == 0 {{\n\t\t\ts \
                 = append(s, v+len(k))\n\t\t}} else {{\n\t\t\tm[k[:len(k)/2]+\"{f}\"] += v\n\t\t}}\n\t}}\n\tif x > 0 {{\n\t\treturn {below} + \
                 len(s)\n\t}}\n\treturn s[len(s)-1]\n}}\n",
                random.below(17) + 2
            )?;
        }
        for it in imports.iter().skip(1) {
            writeln!(text, "var _ = p{it:03}.F0")?;
        }
        module.write(&format!("p{n:03}/p.go"), &text);
        writeln!(main, "\t_ \"{MODULE_PATH}/p{n:03}\"")?;
    }
    main += ")\n";
    module.write("imports.go", &main);
    Ok(())
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
        usize::try_from((self.0 >> 33) % n).unwrap_or(0)
    }
}
