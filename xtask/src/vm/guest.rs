//! Starts a kernel in an emulator, and reads its two serial lines.
//!
//! The processor is always emulated, because `/dev/kvm` can exist and yet not start a stock kernel. It has one core without
//! `cmpxchg16b`, which QEMU 7.2 gets wrong: with it, one boot in seven fails before the first process. A guest that never reached
//! its first process proves nothing about gotrace, and is started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::report::Report;
use super::task::Task;

/// Several times longer than a guest takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

const N_TRIES: usize = 3;

/// Output of a guest.
pub(super) struct GuestOutput {
    /// All messages of the kernel.
    pub(super) console: String,
    pub(super) report: Report,
    pub(super) took: Duration,
    /// Number of boots that failed before their first process.
    pub(super) n_failed_boots: usize,
}

/// Runs a guest until it ends.
pub(super) fn run(task: &Task, root: &Path, dir: &Path) -> Result<GuestOutput> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (console, results) = (dir.join("console.log"), dir.join("results.log"));
    for n_failed_boots in 0..N_TRIES {
        let began = Instant::now();
        boot(task, root, &console, &results)?;
        let report = Report::parse(&read(&results)?);
        if !report.is_empty() {
            return Ok(GuestOutput {
                console: read(&console)?,
                report,
                took: began.elapsed(),
                n_failed_boots,
            });
        }
    }
    let printed = read(&console)?;
    let last: Vec<&str> = printed.lines().rev().take(20).collect();
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
        // The kernel prints only warnings and worse, because more output would slow the guest.
        .args([
            "-append",
            &format!(
                "console=ttyS0 loglevel=5 panic=-1 {}",
                task.checks.boot_parameters()
            ),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run qemu-system-x86_64: install it with `cargo xtask setup`")?;
    wait(&mut qemu)
}

/// Kills a guest that hangs; its output until then is checked like any other.
fn wait(qemu: &mut Child) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if qemu
            .try_wait()
            .context("cannot wait for the emulator")?
            .is_some()
        {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    qemu.kill().context("cannot kill the emulator")?;
    qemu.wait().context("cannot wait for the emulator")?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
}
