//! One sample: a script under a tracer, which waits before its builds and after them until the tracer has been measured.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::bpf::{self, RunTime};
use crate::bench_agent::process;
use crate::measure::{Sample, children_cpu, reap_orphans};

/// A running script.
pub(super) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    began: Instant,
    cpu: f64,
}

/// The result of a session.
pub(super) struct Finished {
    pub(super) sample: Sample,
    /// CPU seconds of the tracer itself. Only meaningful if the started program is the tracer.
    pub(super) tracer: f64,
    /// Seconds from the end of the builds to the end of the tracer.
    pub(super) after: f64,
    /// The tracer's messages.
    pub(super) log: String,
}

/// The CPU seconds of a gotrace at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    /// Of the process, with ended threads.
    pub(super) own: f64,
    /// Of the thread of its loop.
    pub(super) main: f64,
    pub(super) programs: RunTime,
}

impl Snapshot {
    pub(super) fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            own: process::own(pid)?,
            main: process::main_thread(pid)?,
            programs: bpf::run_time(pid)?,
        })
    }
}

impl Session {
    /// Starts the script, and returns when it waits before its builds.
    pub(super) fn start(command: &mut Command, scratch: &Path) -> Result<Self> {
        let log = scratch.join("tracer.log");
        let errors = File::create(&log).context("cannot create the tracer's log")?;
        let cpu = children_cpu()?;
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("cannot be started")?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut session = Self {
            child,
            stdin,
            stdout,
            log,
            began,
            cpu,
        };
        let line = session.line()?;
        if line != "started\n" {
            let log = fs::read_to_string(&session.log).unwrap_or_default();
            bail!("the command did not start: {}", log.trim_end());
        }
        Ok(session)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs the builds; returns their CPU seconds, which the kernel reports in ticks of ten milliseconds.
    pub(super) fn build(&mut self) -> Result<f64> {
        self.release()?;
        // `times` prints the shell's own times, then those of its children.
        let _own = self.line()?;
        let line = self.line()?;
        let times: Option<Vec<f64>> = line.split_whitespace().map(seconds).collect();
        match times.as_deref() {
            Some(&[user, system]) => Ok(user + system),
            _ => bail!("a build failed"),
        }
    }

    /// Ends the script and waits for the tracer.
    pub(super) fn end(mut self) -> Result<Finished> {
        let built = Instant::now();
        self.release()?;
        wait_without_reaping(self.child.id(), 0)?;
        self.finish(built)
    }

    /// The same, with the peak of the tracer's memory in bytes.
    pub(super) fn end_watched(mut self) -> Result<(Finished, u64)> {
        let built = Instant::now();
        let mut peak = process::peak(self.pid())?;
        self.release()?;
        while !wait_without_reaping(self.pid(), libc::WNOHANG)? {
            // An ended process has no memory.
            peak = peak.max(process::peak(self.pid()).unwrap_or(0));
            thread::sleep(Duration::from_millis(1));
        }
        Ok((self.finish(built)?, peak))
    }

    /// The tracer has ended and is not reaped.
    fn finish(mut self, built: Instant) -> Result<Finished> {
        let after = built.elapsed().as_secs_f64();
        let wall = self.began.elapsed().as_secs_f64();
        let tracer = process::own(self.child.id())?;
        let status = self.child.wait().context("cannot be waited for")?;
        reap_orphans();
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        if !status.success() {
            bail!("failed: {status}: {}", log.trim_end());
        }
        let sample = Sample {
            wall,
            cpu: children_cpu()? - self.cpu,
        };
        Ok(Finished {
            sample,
            tracer,
            after,
            log,
        })
    }

    fn release(&mut self) -> Result<()> {
        self.stdin.write_all(b"\n").context("cannot continue")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .context("cannot read the output of the script")?;
        Ok(line)
    }
}

/// Waits until a child has ended. Its CPU clock can be read until it is reaped. With `WNOHANG`, returns false if it runs.
fn wait_without_reaping(pid: u32, options: libc::c_int) -> Result<bool> {
    // SAFETY: all members are integers or addresses, which may be zero.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOWAIT | options;
    // SAFETY: the pointer is valid for writing a `siginfo_t`.
    if unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, options) } != 0 {
        return Err(io::Error::last_os_error()).context("waitid");
    }
    // SAFETY: the call above succeeded, so it filled the structure, or left the number zero.
    Ok(unsafe { info.si_pid() } != 0)
}

/// Parses `1m2.50s`.
fn seconds(time: &str) -> Option<f64> {
    let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
    Some(60.0 * minutes.parse::<f64>().ok()? + seconds.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_shell_are_parsed() {
        assert_eq!(seconds("1m2.500000s"), Some(62.5));
        assert_eq!(seconds("0m0.01s"), Some(0.01));
        assert_eq!(seconds("error"), None);
    }
}
