//! `cargo xtask bench overhead`: what tracing costs a build.
//!
//! Every round runs each build plain and under each tracer, in an order that rotates, and compares with the plain build of the same
//! round: slow drift of the machine hits all alike. A plain build is also held against a second plain one; that row is the noise, and
//! no smaller difference means anything. Times are wall time and the CPU time of everything that was started, tracer included.

mod measure;
mod storm;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use tests::{Module, Toolchain};

use self::measure::{Sample, Spread, measure};
use crate::shell;

/// What is built.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Build {
    /// With an empty build cache: hundreds of compilations.
    Cold,
    /// Nothing changed: the `go` command alone.
    Warm,
    /// The main package changed: one compilation and one link.
    Relink,
}

impl Build {
    const ALL: [Self; 3] = [Self::Cold, Self::Warm, Self::Relink];

    fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Relink => "relink",
        }
    }

    /// Builds in one sample: short builds are measured by the dozen, or starting a process would be most of the noise.
    fn n_repeats(self) -> usize {
        match self {
            Self::Cold => 1,
            Self::Warm => 10,
            Self::Relink => 5,
        }
    }
}

/// What watches it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watcher {
    Nobody,
    /// The control.
    NobodyAgain,
    /// `gotrace run --detail LEVEL`.
    Gotrace(&'static str),
    Strace,
    PerfTrace,
}

impl Watcher {
    fn name(&self) -> String {
        match self {
            Self::Nobody => "nothing".into(),
            Self::NobodyAgain => "nothing, again".into(),
            Self::Gotrace(detail) => format!("gotrace --detail {detail}"),
            Self::Strace => "strace -f -e trace=execve".into(),
            Self::PerfTrace => "perf trace -e execve".into(),
        }
    }

    /// The start of the command line, and what the watcher writes to.
    fn command(&self, gotrace: &Path, scratch: &Path) -> Result<Option<Command>> {
        let command = match self {
            Self::Nobody | Self::NobodyAgain => return Ok(None),
            Self::Gotrace(detail) => {
                let mut command = shell::as_root(gotrace)?;
                command.args([
                    "run", "--quiet", "--format", "json", "--detail", *detail, "-o",
                ]);
                command.arg(scratch.join("gotrace.json"));
                command
            }
            Self::Strace => {
                let mut command = Command::new("strace");
                command
                    .args(["-f", "-qq", "-e", "trace=execve", "-o"])
                    .arg(scratch.join("strace.txt"));
                command
            }
            Self::PerfTrace => {
                let mut command = Command::new("perf");
                command
                    .args(["trace", "-e", "execve", "-o"])
                    .arg(scratch.join("perf.txt"));
                command
            }
        };
        Ok(Some(command))
    }
}

pub(crate) fn run(rounds: usize, minor: &str) -> Result<()> {
    if rounds == 0 {
        bail!("no rounds, no result: give --rounds at least 1");
    }
    shell::run(shell::cargo().args(["build", "--release", "--package", "tracer-user"]))?;
    let gotrace = shell::target().join("release/gotrace");
    let toolchain = tests::toolchain(minor);
    let watchers = watchers()?;
    let mut bench = Bench {
        gotrace: &gotrace,
        toolchain: &toolchain,
        module: Module::copy("hello"),
        n_changes: 0,
    };
    for build in Build::ALL {
        let samples = bench.rounds(build, &watchers, rounds)?;
        print_build(build, &toolchain, rounds, &samples);
    }
    storm::run(&gotrace, rounds)
}

/// Those that can run here; the others are named.
fn watchers() -> Result<Vec<Watcher>> {
    let mut watchers = vec![
        Watcher::Nobody,
        Watcher::NobodyAgain,
        Watcher::Gotrace("process"),
        Watcher::Gotrace("phase"),
        Watcher::Gotrace("cache-key"),
    ];
    if shell::find("strace").is_some() {
        watchers.push(Watcher::Strace);
    } else {
        println!("left out: strace, which is not installed");
    }
    if !shell::is_root()? {
        println!("left out: perf trace, which needs root");
    } else if shell::succeeds(Command::new("perf").args(["trace", "-e", "execve", "--", "true"])) {
        watchers.push(Watcher::PerfTrace);
    } else {
        println!("left out: perf trace, which does not run here");
    }
    Ok(watchers)
}

struct Bench<'a> {
    gotrace: &'a Path,
    toolchain: &'a Toolchain,
    module: Module,
    n_changes: usize,
}

impl Bench<'_> {
    fn rounds(
        &mut self,
        build: Build,
        watchers: &[Watcher],
        n: usize,
    ) -> Result<BTreeMap<Watcher, Vec<Sample>>> {
        if build != Build::Cold {
            // Fills the cache and leaves an output that is up to date.
            self.module.sandbox.make_warm(self.toolchain);
            self.sample(build, &Watcher::Nobody)?;
        }
        let mut samples: BTreeMap<Watcher, Vec<Sample>> = BTreeMap::new();
        for round in 0..n {
            let mut order = watchers.to_vec();
            order.rotate_left(round % watchers.len());
            for watcher in order {
                eprint!(
                    "\r{} build {} of {n}, {}\x1b[K",
                    build.name(),
                    round + 1,
                    watcher.name()
                );
                let sample = self.sample(build, &watcher)?;
                samples.entry(watcher).or_default().push(sample);
            }
        }
        eprint!("\r\x1b[K");
        Ok(samples)
    }

    fn sample(&mut self, build: Build, watcher: &Watcher) -> Result<Sample> {
        let mut sum = Sample::default();
        for _ in 0..build.n_repeats() {
            match build {
                Build::Cold => self.module.sandbox.make_cold(),
                Build::Warm => {}
                Build::Relink => self.change(),
            }
            sum += self.build(watcher)?;
        }
        Ok(sum.divided_by(build.n_repeats()))
    }

    /// A change that has to be compiled: comments alone give the same package and no link.
    fn change(&mut self) {
        self.n_changes += 1;
        let text = format!(
            "package main\n\nfunc init() {{ println({}) }}\n",
            self.n_changes
        );
        self.module.write("change.go", &text);
    }

    fn build(&self, watcher: &Watcher) -> Result<Sample> {
        let scratch = self.module.sandbox.out();
        let go = self.toolchain.go.as_os_str().to_owned();
        let mut command = match watcher.command(self.gotrace, &scratch)? {
            None => Command::new(go),
            Some(mut command) => {
                command.arg("--").arg(go);
                command
            }
        };
        let env: Vec<(OsString, OsString)> = self.module.sandbox.env(self.toolchain);
        command
            .args(["build", "-o"])
            .arg(scratch.join("hello"))
            .arg(".");
        command.current_dir(self.module.dir()).env_clear().envs(env);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        measure(&mut command).with_context(|| format!("a build under {}", watcher.name()))
    }
}

fn print_build(
    build: Build,
    toolchain: &Toolchain,
    n: usize,
    samples: &BTreeMap<Watcher, Vec<Sample>>,
) {
    let Some(plain) = samples.get(&Watcher::Nobody) else {
        return;
    };
    let repeats = build.n_repeats();
    println!(
        "\n{} build of tests/gomods/hello, Go {}: {n} rounds of {repeats}",
        build.name(),
        toolchain.version
    );
    println!("{:<28} {:^28} {:^28}", "", "wall time", "CPU time");
    println!(
        "{:<28} {:>28} {:>28}",
        "", "median (min..max)", "median (min..max)"
    );
    for (watcher, samples) in samples {
        let columns = [|it: &Sample| it.wall, |it: &Sample| it.cpu].map(|time| {
            if *watcher == Watcher::Nobody {
                Spread::of(samples.iter().map(time)).seconds()
            } else {
                Spread::of(
                    samples
                        .iter()
                        .zip(plain)
                        .map(|(it, plain)| time(it) / time(plain)),
                )
                .ratio()
            }
        });
        println!(
            "{:<28} {:>28} {:>28}",
            watcher.name(),
            columns[0],
            columns[1]
        );
    }
}
