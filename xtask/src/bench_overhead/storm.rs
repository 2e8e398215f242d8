//! Measures the cost of tracing for untraced processes: a storm of `/bin/true` beside a gotrace with an idle child.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::measure::{Sample, Spread, children_cpu};
use crate::shell;

/// Number of processes in one storm, which takes some seconds.
const N_PROCESSES: usize = 2000;

pub(crate) fn run(gotrace: &Path, rounds: usize) -> Result<()> {
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        eprint!("\rstorm {} of {rounds}\x1b[K", round + 1);
        alone.push(storm()?);
        let idle = Idle::start(gotrace)?;
        watched.push(storm()?);
        idle.stop()?;
    }
    eprint!("\r\x1b[K");
    println!(
        "\nuntracked processes: {rounds} rounds of {N_PROCESSES} times /bin/true, each forked, executed and ended"
    );
    println!(
        "{:<28} {:^28} {:^28}",
        "per process", "wall time", "CPU time"
    );
    println!(
        "{:<28} {:>28} {:>28}",
        "", "median (min..max)", "median (min..max)"
    );
    let columns = [|it: &Sample| it.wall, |it: &Sample| it.cpu];
    for (name, samples) in [("nothing", &alone), ("gotrace run -- (idle)", &watched)] {
        let [wall, cpu] = columns.map(|time| microseconds(samples.iter().map(time)));
        println!("{name:<28} {wall:>28} {cpu:>28}");
    }
    let [wall, cpu] = columns.map(|time| {
        microseconds(
            watched
                .iter()
                .zip(&alone)
                .map(|(with, without)| time(with) - time(without)),
        )
    });
    println!("{:<28} {wall:>28} {cpu:>28}", "difference");
    Ok(())
}

fn microseconds(seconds: impl Iterator<Item = f64>) -> String {
    Spread::of(seconds.map(|it| it * 1e6)).microseconds()
}

fn storm() -> Result<Sample> {
    let before = children_cpu()?;
    let began = Instant::now();
    for _ in 0..N_PROCESSES {
        let status = Command::new("/bin/true")
            .status()
            .context("cannot run /bin/true")?;
        if !status.success() {
            bail!("/bin/true failed: {status}");
        }
    }
    let sample = Sample {
        wall: began.elapsed().as_secs_f64(),
        cpu: children_cpu()? - before,
    };
    Ok(sample.divided_by(N_PROCESSES))
}

/// A gotrace whose child waits for the end of its stdin.
struct Idle(Child);

impl Idle {
    /// Returns after the child has started, which is after all probes are attached.
    fn start(gotrace: &Path) -> Result<Self> {
        let mut command = shell::as_root(gotrace)?;
        command.args([
            "run",
            "--quiet",
            "--strict",
            "--",
            "sh",
            "-c",
            "echo started; read -r line",
        ]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start gotrace")?;
        let stdout = child.stdout.take().context("gotrace has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("cannot read the output of gotrace's child")?;
        if line != "started\n" {
            bail!(
                "gotrace's child printed `{}` instead of `started`",
                line.trim_end()
            );
        }
        Ok(Self(child))
    }

    fn stop(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().context("cannot wait for gotrace")?;
        Ok(())
    }
}
