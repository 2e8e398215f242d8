//! Starting a kernel in an emulator, and what comes out of its two serial lines.
//!
//! The processor is always emulated: `/dev/kvm` can be there and start no stock kernel. One processor without `cmpxchg16b`, which QEMU
//! 7.2 gets wrong: with it one boot in seven dies before its first process. A guest that never reached its first process says
//! nothing about gotrace and is started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::report::Report;
use super::task::Task;

/// Longer than a guest takes on a busy machine, several times over.
const PATIENCE: Duration = Duration::from_mins(10);

const N_TRIES: usize = 3;

/// What came out.
pub(super) struct Ended {
    /// All that the kernel said.
    pub(super) console: String,
    pub(super) report: Report,
    pub(super) took: Duration,
    /// Boots that did not get to a first process before the one that did.
    pub(super) n_failed_boots: usize,
}

/// Runs a guest to its end.
pub(super) fn run(task: &Task, root: &Path, dir: &Path) -> Result<Ended> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (console, results) = (dir.join("console.log"), dir.join("results.log"));
    for n_failed_boots in 0..N_TRIES {
        let began = Instant::now();
        boot(task, root, &console, &results)?;
        let report = Report::parse(&read(&results)?);
        if !report.is_empty() {
            return Ok(Ended {
                console: read(&console)?,
                report,
                took: began.elapsed(),
                n_failed_boots,
            });
        }
    }
    let said = read(&console)?;
    let last: Vec<&str> = said.lines().rev().take(20).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    bail!(
        "no first process in {N_TRIES} boots; the console ends with\n{}",
        last.join("\n")
    )
}

fn boot(task: &Task, root: &Path, console: &PathBuf, results: &PathBuf) -> Result<()> {
    let serial = |file: &PathBuf| format!("file:{}", file.display());
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max,-cx16"])
        .args(["-smp", "1", "-m", "1024", "-net", "none", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none", "-kernel"])
        .arg(&task.image)
        .arg("-initrd")
        .arg(root)
        .args(["-serial", &serial(console), "-serial", &serial(results)])
        // Warnings are printed, all else that is not worse is not: it would take longer than what it tells of.
        .args([
            "-append",
            &format!(
                "console=ttyS0 loglevel=5 panic=-1 {}",
                task.asked.boot_words()
            ),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run qemu-system-x86_64: run `cargo xtask setup`")?;
    wait(&mut qemu)
}

/// A guest that hangs is ended; what it said until then is looked at like all else.
fn wait(qemu: &mut Child) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if qemu.try_wait().context("the emulator was lost")?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    qemu.kill().context("cannot end the emulator")?;
    qemu.wait().context("the emulator was lost")?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
}
