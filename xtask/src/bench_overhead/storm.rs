//! Measures the cost of tracing for untraced processes, beside a gotrace that traces no build: a storm of `/bin/true`, and system calls.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use tempfile::TempDir;
use tests::agent::Agent;

use crate::measure::{Sample, Spread, children_cpu, own_cpu};
use crate::shell;

/// Number of processes in one storm, which takes some seconds.
const N_PROCESSES: usize = 2000;
/// Number of system calls in one sample, which takes a second at most.
const N_CALLS: usize = 2_000_000;

/// Time for an agent to find that no build runs, and to turn off the hook that costs each process.
const UNTIL_IDLE: Duration = Duration::from_secs(3);

/// The gotrace beside the untracked processes.
const BESIDE: [&str; 2] = ["gotrace run (idle command)", "gotrace agent (no build)"];

pub(crate) fn run(gotrace: &Path, rounds: usize) -> Result<()> {
    let mut ratios = BESIDE.map(|_| [Vec::new(), Vec::new()]);
    let mut alone = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (n, ratios) in ratios.iter_mut().enumerate() {
            eprint!(
                "\rstorm {} of {rounds}, {}\x1b[K",
                round + 1,
                BESIDE.get(n).unwrap_or(&"")
            );
            let plain = [storm()?.cpu, calls()?];
            let watched = if n == 0 {
                let idle = Idle::start(gotrace)?;
                let watched = [storm()?.cpu, calls()?];
                idle.stop()?;
                watched
            } else {
                let dir = TempDir::new().context("cannot make a temporary directory")?;
                let agent = Agent::start_as(Command::new(gotrace), dir, &[]);
                thread::sleep(UNTIL_IDLE);
                let watched = [storm()?.cpu, calls()?];
                agent.stop();
                watched
            };
            let pairs = watched.into_iter().zip(plain);
            for ((ratios, alone), (watched, plain)) in ratios.iter_mut().zip(&mut alone).zip(pairs)
            {
                ratios.push(watched / plain);
                alone.push(plain);
            }
        }
    }
    eprint!("\r\x1b[K");
    println!("\nCPU time of untracked processes: {rounds} pairs");
    println!(
        "{:<28} {:>30} {:>30}",
        "", "fork, exec, exit of /bin/true", "system call (getppid)"
    );
    let [process, call] =
        alone.map(|it| Spread::of(it.into_iter().map(|it| it * 1e6)).microseconds());
    println!("{:<28} {process:>30} {call:>30}", "nothing");
    for (name, ratios) in BESIDE.into_iter().zip(ratios) {
        let [process, call] = ratios.map(|it| Spread::of(it.into_iter()).ratio());
        println!("{name:<28} {process:>30} {call:>30}");
    }
    Ok(())
}

/// CPU seconds of a system call of this process, which is untracked.
fn calls() -> Result<f64> {
    let before = own_cpu()?;
    for _ in 0..N_CALLS {
        // SAFETY: the call has no arguments and touches no memory.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let n = N_CALLS as f64;
    Ok((own_cpu()? - before) / n)
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
