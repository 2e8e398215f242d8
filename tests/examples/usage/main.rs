//! `cargo xtask bench usage`: CPU time, peak memory and end of processes as gotrace has them, beside what the kernel told their parent.
//!
//! The parent is this program itself: between the `go` command and each tool (`-toolexec`), and above children that only take memory. It
//! writes down what `wait4` says, gotrace records the same processes, and both are joined by process id.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]
#![expect(
    clippy::panic,
    reason = "what cannot be recorded cannot be compared"
)]

mod parent;

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tests::{Module, Toolchain};
use tracer_core::event::Event;
use tracer_core::recording::Reader;

use self::parent::{take_memory, wait_for};

/// What is built: more than 1,000 runs of tools.
const PACKAGES: [&str; 4] = ["std", "cmd/go", "cmd/link", "cmd/vet"];
/// Sizes of the children, in MiB. The largest are left out where the machine has less.
const SIZES: [u64; 6] = [1, 16, 64, 256, 1024, 4096];
/// What a parent was told of one child.
#[derive(Clone, Copy, Debug)]
struct Told {
    cpu_ns: u64,
    max_rss_bytes: u64,
    /// When it had been waited for, on the boot clock.
    at_ns: u64,
}

/// What gotrace recorded of it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    cpu_at_exit_ns: u64,
    /// In all; none where that did not come.
    cpu_ns: Option<u64>,
    max_rss_bytes: Option<u64>,
    /// When its parent was told, or its exit.
    end_ns: u64,
}

const USAGE: &str = "usage: usage GO-VERSION";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["wait-for", file, ..] => {
            // It does not come back.
            let error = wait_for(file, args.get(2..).unwrap_or_default());
            eprintln!("usage: {error:?}");
            ExitCode::from(125)
        }
        ["take-memory", mib] => take_memory(mib.parse().unwrap_or(0)),
        [minor] => {
            run(minor);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(minor: &str) {
    let toolchain = tests::toolchain(minor);
    let own = env::current_exe().unwrap_or_else(|error| panic!("where is this program? {error}"));
    let own = own.display();
    let module = Module::copy("hello");
    let out = module.sandbox.out();
    println!(
        "{:<18} {:>5}  {:>22}  {:>22}  {:>10}  {:>26}  {:>10}",
        "children", "n", "CPU, of wait4's", "at the exit alone", "worst", "peak: same, less, unknown", "end, late"
    );

    let told = out.join("tools");
    let mut build = vec![toolchain.go.display().to_string(), "build".to_owned()];
    build.push("-toolexec".to_owned());
    build.push(format!("{own} wait-for {}", told.display()));
    build.extend(PACKAGES.map(str::to_owned));
    trace(&module, &toolchain, &build);
    row("tools of a build", &told, &out);

    let room = available_mib() * 3 / 4;
    for mib in SIZES.into_iter().filter(|mib| *mib < room) {
        let told = out.join(mib.to_string());
        let child = format!("'{own}' wait-for '{}' '{own}' take-memory {mib}", told.display());
        let script = format!("for i in 1 2 3 4 5; do {child} || exit 1; done");
        let words = ["sh", "-c", &script].map(str::to_owned);
        trace(&module, &toolchain, &words);
        row(&format!("{mib} MiB"), &told, &out);
    }
}

/// What the machine could give to a process now.
fn available_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn trace(module: &Module, toolchain: &Toolchain, command: &[String]) {
    let output = module
        .gotrace(toolchain, &["record", "--strict", "--detail", "process", "-o"])
        .arg(module.sandbox.out().join("recording"))
        .arg("--")
        .args(command)
        .env("CGO_ENABLED", "0")
        .output()
        .unwrap_or_else(|error| panic!("cannot run gotrace: {error}"));
    assert!(
        output.status.success(),
        "the command failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn row(name: &str, told: &Path, out: &Path) {
    let seen = recorded(&out.join("recording"));
    let told = told_of(told);
    let (mut n, mut n_missing, mut n_not_final) = (0_u64, 0_u64, 0_u64);
    let (mut cpu, mut last, mut at_exit) = (0_u64, 0_u64, 0_u64);
    let mut worst = 0_u64;
    let (mut same, mut less, mut unknown, mut more) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut late: Vec<u64> = Vec::new();
    for (pid, told) in &told {
        let Some(seen) = seen.get(pid) else {
            n_missing += 1;
            continue;
        };
        n += 1;
        n_not_final += u64::from(seen.cpu_ns.is_none());
        let ours = seen.cpu_ns.unwrap_or(seen.cpu_at_exit_ns);
        cpu += told.cpu_ns;
        last += ours;
        at_exit += seen.cpu_at_exit_ns;
        worst = worst.max(told.cpu_ns.abs_diff(ours));
        match seen.max_rss_bytes {
            None => unknown += 1,
            Some(it) if it == told.max_rss_bytes => same += 1,
            Some(it) if it < told.max_rss_bytes => less += 1,
            Some(_) => more += 1,
        }
        late.push(told.at_ns.saturating_sub(seen.end_ns));
    }
    late.sort_unstable();
    let middle = late.get(late.len() / 2).copied().unwrap_or(0);
    println!(
        "{name:<18} {n:>5}  {:>10} {:>11}  {:>10} {:>11}  {:>10}  {:>26}  {:>10}",
        seconds(last),
        percent(last, cpu),
        seconds(at_exit),
        percent(at_exit, cpu),
        milliseconds(worst),
        format!("{same}, {less}, {unknown}"),
        milliseconds(middle),
    );
    if n_missing + n_not_final + more > 0 {
        println!(
            "  {n_missing} not seen, {n_not_final} without their last times, {more} with a larger peak than wait4 says"
        );
    }
}

/// Times and ends by process id. No id is used twice in a recording this short.
fn recorded(recording: &Path) -> HashMap<u32, Seen> {
    let file = File::open(recording).unwrap_or_else(|error| panic!("no recording: {error}"));
    let reader = Reader::open(BufReader::new(file))
        .unwrap_or_else(|error| panic!("not a recording: {error}"));
    let mut seen: HashMap<u32, Seen> = HashMap::new();
    for event in reader {
        match event {
            Event::Exit(exit) => {
                let it = seen.entry(exit.process.tgid.0).or_default();
                it.cpu_at_exit_ns = exit.usage.user_ns + exit.usage.system_ns;
                it.max_rss_bytes = exit.usage.max_rss_bytes;
                it.end_ns = exit.at.0;
            }
            Event::Reaped(reaped) => {
                let it = seen.entry(reaped.process.tgid.0).or_default();
                it.cpu_ns = Some(reaped.user_ns + reaped.system_ns);
                it.end_ns = it.end_ns.max(reaped.ended.map_or(0, |at| at.0));
            }
            _ => {}
        }
    }
    seen
}

fn told_of(file: &Path) -> HashMap<u32, Told> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("nobody was waited for: {error}"));
    let line = |line: &str| -> Option<(u32, Told)> {
        let mut words = line.split(' ').map(|it| it.parse::<u64>().ok());
        let mut next = || words.next().flatten();
        Some((
            u32::try_from(next()?).ok()?,
            Told {
                cpu_ns: next()?,
                max_rss_bytes: next()?,
                at_ns: next()?,
            },
        ))
    };
    text.lines()
        .map(|it| line(it).unwrap_or_else(|| panic!("what is {it:?}?")))
        .collect()
}

fn seconds(ns: u64) -> String {
    format!("{:.3} s", Duration::from_nanos(ns).as_secs_f64())
}

fn milliseconds(ns: u64) -> String {
    format!("{:.2} ms", Duration::from_nanos(ns).as_secs_f64() * 1e3)
}

fn percent(part: u64, whole: u64) -> String {
    let ratio = Duration::from_nanos(part).as_secs_f64() / Duration::from_nanos(whole).as_secs_f64();
    format!("{:.2} %", ratio * 100.0)
}
