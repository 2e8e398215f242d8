//! Threads that wait for a CPU: the child measures itself through `/proc`, and the recording must agree.
//!
//! Most threads end by themselves and add their own time. The others are still running when the process ends, so the time until shortly
//! before the end is known. A process without `schedstat` belongs to a kernel that keeps no such times; the recording then has none.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hint::black_box;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that end by themselves, and threads that the end of the process kills.
const N_ENDING: usize = 4;
const N_KILLED: usize = 2;
/// Time that each thread is runnable.
const BUSY: Duration = Duration::from_millis(300);

/// Runs the threads, and writes the process id and the time that they waited to the file. The process must end at once.
pub(crate) fn contend(file: &str) -> io::Result<()> {
    let waited = Arc::new(AtomicU64::new(0));
    for _ in 0..N_KILLED {
        thread::spawn(|| spin(BUSY * 100));
    }
    let ending: Vec<_> = (0..N_ENDING)
        .map(|_| {
            let waited = Arc::clone(&waited);
            thread::spawn(move || {
                spin(BUSY);
                let own = run_delay_ns("/proc/thread-self/schedstat").unwrap_or(0);
                waited.fetch_add(own, Ordering::Relaxed);
                fs::read_link("/proc/thread-self")
            })
        })
        .collect();
    let mut ended: Vec<OsString> = Vec::new();
    for thread in ending {
        let path = thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))??;
        ended.extend(path.file_name().map(OsStr::to_owned));
    }
    let mut ns = waited.load(Ordering::Relaxed);
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        // A joined thread can still be listed for a moment.
        if !ended.contains(&task.file_name()) {
            let schedstat = task.path().join("schedstat");
            ns += run_delay_ns(&schedstat.display().to_string()).unwrap_or(0);
        }
    }
    fs::write(file, format!("{} {ns}\n", process::id()))
}

/// Compares the recorded time of the child with its own. Returns a difference that is too large.
pub(crate) fn complaint(file: &str, recorded: impl Fn(u32) -> Option<u64>) -> Option<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let parse = |(pid, ns): (&str, &str)| Some((pid.parse().ok()?, ns.parse().ok()?));
    let Some((pid, ns)): Option<(u32, u64)> = text.trim().split_once(' ').and_then(parse) else {
        return Some(format!("the child wrote {text:?}"));
    };
    // Afterwards, each killed thread waits for a CPU once more. Threads that were counted twice would exceed this by far.
    let most = ns + ns / 2 + 100_000_000;
    match recorded(pid) {
        None if ns == 0 => None,
        Some(recorded) if ns > 0 && (ns..=most).contains(&recorded) => None,
        recorded => Some(format!(
            "the threads waited {ns} ns for a CPU, and {recorded:?} was recorded"
        )),
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    let mut n = 0_u64;
    while start.elapsed() < time {
        n = black_box(n.wrapping_add(1));
    }
}

/// The second number: time on the run queue.
fn run_delay_ns(schedstat: &str) -> Option<u64> {
    let text = fs::read_to_string(schedstat).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}
