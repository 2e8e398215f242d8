//! One build of a generated module with thousands of packages: CPU time and memory of gotrace, and its time after the build.
//!
//! The packages are tiny, so that gotrace's share is the largest possible: nearly all of the build is started processes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tests::agent::Agent;
use tests::{Module, Toolchain};

use super::Workload;
use super::session::Session;
use super::tracer::Tracer;
use crate::bench_agent::process;
use crate::measure::Sample;

const DETAIL: &str = "cache-key";
/// Interval at which the progress of the build is printed.
const PROGRESS: Duration = Duration::from_secs(10);

pub(super) fn run(gotrace: &Path, toolchain: &Toolchain, n: usize) -> Result<()> {
    println!(
        "\nmodule of {n} packages, Go {}, --detail {DETAIL}",
        toolchain.version
    );
    println!(
        "{:<14} {:>14} {:>16} {:>12} {:>18}",
        "", "CPU of build", "CPU of gotrace", "peak memory", "after the build"
    );
    under_run(gotrace, toolchain, n)?;
    under_agent(gotrace, toolchain, n)
}

fn under_run(gotrace: &Path, toolchain: &Toolchain, n: usize) -> Result<()> {
    let module = generate(toolchain, n)?;
    let scratch = module.sandbox.out();
    let mut command = (Tracer::Gotrace(DETAIL).command(gotrace, &scratch)?)
        .context("a tracer without a command")?;
    command.args(["--", "sh"]);
    let mut session = start(command, &module, toolchain)?;
    let build = with_progress(&module, n, || session.build())?;
    let (finished, peak) = session.end_watched()?;
    // Without the build: gotrace, and the readers of its outputs.
    let Sample { cpu, .. } = finished.sample;
    print("gotrace run", build, cpu - build, peak, finished.after);
    Ok(())
}

fn under_agent(gotrace: &Path, toolchain: &Toolchain, n: usize) -> Result<()> {
    let first = Module::copy("tiny");
    first.sandbox.make_warm(toolchain);
    let agent = super::agent(gotrace, toolchain, &first, DETAIL)?;
    let module = generate(toolchain, n)?;
    let before = process::cpu(&agent)?;
    let mut session = start(Command::new("sh"), &module, toolchain)?;
    let build = with_progress(&module, n, || session.build())?;
    let since = Instant::now();
    session.end()?;
    agent.wait_for(&module, 1);
    let after = since.elapsed().as_secs_f64();
    let cpu = process::cpu(&agent)? - before;
    print("gotrace agent", build, cpu, peak(&agent)?, after);
    agent.stop();
    Ok(())
}

fn peak(agent: &Agent) -> Result<u64> {
    agent.processes().into_iter().map(process::peak).sum()
}

fn print(name: &str, build: f64, own: f64, peak: u64, after: f64) {
    let megabytes = peak / 1_000_000;
    println!("{name:<14} {build:>12.1} s {own:>14.2} s {megabytes:>9} MB {after:>16.2} s");
}

/// A module whose main package imports all others. The cache contains the standard library.
fn generate(toolchain: &Toolchain, n: usize) -> Result<Module> {
    let module = Module::copy("tiny");
    module.sandbox.make_warm(toolchain);
    let gomod = fs::read_to_string(module.dir().join("go.mod"))?;
    let path = gomod.lines().find_map(|it| it.strip_prefix("module "));
    let path = path.context("no module path in go.mod")?.trim();
    let mut main = String::from("package main\n\nimport (\n");
    for i in 0..n {
        module.write(
            &format!("p{i:05}/p.go"),
            &format!("package p{i:05}\n\nfunc F() int {{ return {i} }}\n"),
        );
        main.extend(["\t_ \"", path, &format!("/p{i:05}\"\n")]);
    }
    main += ")\n";
    module.write("imports.go", &main);
    Ok(module)
}

fn start(mut command: Command, module: &Module, toolchain: &Toolchain) -> Result<Session> {
    let scratch = module.sandbox.out();
    command.args(["-c", &Workload::Many.script(), "sh", "1", "1"]);
    command
        .arg(&toolchain.go)
        .args(["build", "-o"])
        .arg(scratch.join("many"))
        .arg(".");
    command
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(toolchain));
    Session::start(&mut command, &scratch)
}

/// Prints how many packages the build has compiled, as far as its work directory shows.
fn with_progress<T: Send>(
    module: &Module,
    n: usize,
    build: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let tmp = module.sandbox.tmp();
    thread::scope(|scope| {
        let build = scope.spawn(build);
        let mut printed = Instant::now();
        while !build.is_finished() {
            thread::sleep(Duration::from_millis(100));
            if printed.elapsed() >= PROGRESS {
                printed = Instant::now();
                eprint!("\r{} of {n} packages begun\x1b[K", begun(&tmp));
            }
        }
        eprint!("\r\x1b[K");
        build
            .join()
            .unwrap_or_else(|_| bail!("the build's thread panicked"))
    })
}

/// Directories of packages in the work directories of the `go` command.
fn begun(tmp: &Path) -> usize {
    let works = fs::read_dir(tmp).into_iter().flatten().flatten();
    let packages = works.filter_map(|it| fs::read_dir(it.path()).ok());
    packages.map(Iterator::count).sum()
}
