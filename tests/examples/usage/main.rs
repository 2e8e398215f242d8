//! `cargo xtask bench usage`: compares gotrace's CPU times, peak memory and ends of processes with `wait4`.
//!
//! This program is the parent. It runs between the `go` command and each tool (`-toolexec`), and starts children that only allocate
//! memory. It logs the results of `wait4` while gotrace records the same processes. The comparison joins both by process id.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program prints to the terminal"
)]
#![expect(
    clippy::panic,
    reason = "the comparison ends if a process cannot be recorded"
)]

mod contend;
mod parent;

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use tests::Module;
use tracer_core::event::Event;
use tracer_core::recording::Reader;

use self::parent::{take_memory, wait_for};

/// Packages to build: more than 1,000 runs of tools.
const PACKAGES: [&str; 2] = ["std", "cmd"];
/// The longest tick that a kernel can be built with.
const TICK_NS: u64 = 10_000_000;
/// Sizes of the children, in MiB. The largest are left out on machines with less memory.
const SIZES: [u64; 6] = [1, 16, 64, 256, 1024, 4096];
/// The result of `wait4` for one child.
#[derive(Clone, Copy, Debug)]
struct ParentUsage {
    cpu_ns: u64,
    max_rss_bytes: u64,
    /// Boot clock after `wait4` returned.
    at_ns: u64,
}

/// gotrace's record of the same child.
#[derive(Clone, Copy, Debug, Default)]
struct RecordedUsage {
    parent: Option<u32>,
    cpu_at_exit_ns: u64,
    /// Total CPU time; `None` if no final times arrived.
    cpu_ns: Option<u64>,
    max_rss_bytes: Option<u64>,
    run_delay_ns: Option<u64>,
    /// Time of the final times, or of the exit.
    end_ns: u64,
}

const USAGE: &str = "usage: usage GO-VERSION | usage children GOTRACE DIR MOST-MIB";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let complaints = match words.as_slice() {
        ["wait-for", file, ..] => {
            let code = wait_for(file, args.get(2..).unwrap_or_default());
            return code.map_or_else(|error| failed(&error), ExitCode::from);
        }
        ["take-memory", mib, ..] => {
            let taken = take_memory(mib.parse().unwrap_or(0), args.get(2..).unwrap_or_default());
            return taken.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS);
        }
        ["contend", file] => {
            let done = contend::contend(file);
            return done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS);
        }
        ["children", gotrace, dir, most] => {
            head();
            let most = most.parse().unwrap_or(0);
            children(Path::new(dir), most, &|| Command::new(gotrace))
        }
        [minor] => all(minor),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    println!("{complaints} complaints");
    if complaints == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("usage: {error}");
    ExitCode::from(125)
}

/// Measures the tools of a build, then children. Returns the number of complaints, as `children` does.
fn all(minor: &str) -> usize {
    let toolchain = tests::toolchain(minor);
    let module = Module::copy("hello");
    let out = module.sandbox.out();
    let gotrace = || {
        let mut gotrace = module.gotrace(&toolchain, &[]);
        gotrace.env("CGO_ENABLED", "0");
        gotrace
    };
    head();
    let parent = out.join("tools");
    let mut build = vec![toolchain.go.display().to_string(), "build".to_owned()];
    build.push("-toolexec".to_owned());
    build.push(format!("{} wait-for {}", own(), parent.display()));
    build.extend(PACKAGES.map(str::to_owned));
    trace(&mut gotrace(), &out, &build);
    let of_tools = row("tools of a build", &parent, &out);

    let parent = out.join("go");
    let words = [
        own(),
        "wait-for".to_owned(),
        parent.display().to_string(),
        toolchain.go.display().to_string(),
        "build".to_owned(),
        "-a".to_owned(),
        "std".to_owned(),
    ];
    trace(&mut gotrace(), &out, &words);
    of_tools + go_with_children(&parent, &out) + children(&out, available_mib() * 3 / 4, &gotrace)
}

/// Compares the `go` command with all processes it waited for; the kernel adds up their times for the parent.
fn go_with_children(parent: &Path, out: &Path) -> usize {
    let recorded_usage = recorded(&out.join("recording"));
    let (pid, parent) = parent_usages(parent)
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("no wait4 result for go"));
    let above = recorded_usage.get(&pid).and_then(|it| it.parent);
    let below = recorded_usage
        .iter()
        .filter(|(pid, _)| Some(**pid) != above);
    let ours = below
        .map(|(_, it)| it.cpu_ns.unwrap_or(it.cpu_at_exit_ns))
        .sum::<u64>();
    println!(
        "{:<18} {:>5}  {:>10} {:>11}",
        "go, all under it",
        recorded_usage.len().saturating_sub(1),
        seconds(ours),
        percent(ours, parent.cpu_ns),
    );
    usize::from(parent.cpu_ns.abs_diff(ours) > parent.cpu_ns / 200 + TICK_NS)
}

/// Measures children that allocate memory, and children that inherit the peak from the program before.
fn children(out: &Path, most: u64, gotrace: &dyn Fn() -> Command) -> usize {
    let own = own();
    let sizes = SIZES.into_iter().filter(|mib| *mib <= most);
    let each = sizes.map(|mib| (format!("{mib} MiB"), format!("take-memory {mib}")));
    let before = most.min(256);
    let heir = format!("take-memory {before} '{own}' take-memory 16");
    let mut n = 0;
    for (name, words) in each.chain([(format!("16 MiB after {before}"), heir)]) {
        let parent = out.join(name.replace(' ', "-"));
        // Left by an earlier run.
        let _none = fs::remove_file(&parent);
        let child = format!("'{own}' wait-for '{}' '{own}' {words}", parent.display());
        let script = format!("for i in 1 2 3 4 5; do {child} || exit 1; done");
        trace(
            &mut gotrace(),
            out,
            &["sh", "-c", &script].map(str::to_owned),
        );
        n += row(&name, &parent, out);
    }
    n + waiting_threads(out, gotrace)
}

/// Compares the time that threads waited for a CPU.
fn waiting_threads(out: &Path, gotrace: &dyn Fn() -> Command) -> usize {
    let file = out.join("contend").display().to_string();
    // Left by an earlier run.
    let _none = fs::remove_file(&file);
    let words = [own(), "contend".to_owned(), file.clone()];
    trace(&mut gotrace(), out, &words);
    let recorded_usage = recorded(&out.join("recording"));
    let complaint = contend::complaint(&file, |pid| recorded_usage.get(&pid)?.run_delay_ns);
    println!(
        "{:<18} {}",
        "waiting threads",
        complaint.as_deref().unwrap_or("as in /proc")
    );
    usize::from(complaint.is_some())
}

/// Path of this program.
fn own() -> String {
    let own =
        env::current_exe().unwrap_or_else(|error| panic!("cannot find this program: {error}"));
    own.display().to_string()
}

fn head() {
    println!(
        "{:<18} {:>5}  {:>22}  {:>22}  {:>10}  {:>26}  {:>10}",
        "children",
        "n",
        "CPU, share of wait4",
        "at the exit alone",
        "worst",
        "peak: same, less, unknown",
        "end, late"
    );
}

/// Memory that a process could allocate now.
fn available_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn trace(gotrace: &mut Command, out: &Path, command: &[String]) {
    let output = gotrace
        .args(["record", "--strict", "--detail", "process", "-o"])
        .arg(out.join("recording"))
        .arg("--")
        .args(command)
        .output()
        .unwrap_or_else(|error| panic!("cannot run gotrace: {error}"));
    assert!(
        output.status.success(),
        "the command failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Prints one row and returns the number of complaints.
fn row(name: &str, parent: &Path, out: &Path) -> usize {
    let recorded_usage = recorded(&out.join("recording"));
    let parent = parent_usages(parent);
    let mut complaints = Vec::new();
    let (mut n, mut cpu, mut last, mut at_exit) = (0_u64, 0, 0, 0);
    let mut worst = 0_u64;
    let (mut same, mut less, mut unknown) = (0_u64, 0_u64, 0_u64);
    let mut late: Vec<u64> = Vec::new();
    for (pid, parent) in &parent {
        let Some(recorded_usage) = recorded_usage.get(pid) else {
            complaints.push(format!("process {pid} is not in the recording"));
            continue;
        };
        n += 1;
        if recorded_usage.cpu_ns.is_none() {
            complaints.push(format!("process {pid} has no final times"));
        }
        let ours = recorded_usage
            .cpu_ns
            .unwrap_or(recorded_usage.cpu_at_exit_ns);
        cpu += parent.cpu_ns;
        last += ours;
        at_exit += recorded_usage.cpu_at_exit_ns;
        let off = parent.cpu_ns.abs_diff(ours);
        worst = worst.max(off);
        if off > parent.cpu_ns / 200 + TICK_NS {
            complaints.push(format!(
                "process {pid} has {ours} ns of CPU, not {}",
                parent.cpu_ns
            ));
        }
        match recorded_usage.max_rss_bytes {
            None => unknown += 1,
            Some(it) if it == parent.max_rss_bytes => same += 1,
            Some(it) if it < parent.max_rss_bytes => less += 1,
            Some(it) => {
                let most = parent.max_rss_bytes;
                complaints.push(format!("process {pid} has {it} bytes of memory, of {most}"));
            }
        }
        late.push(parent.at_ns.saturating_sub(recorded_usage.end_ns));
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
    for complaint in &complaints {
        println!("  {complaint}");
    }
    complaints.len()
}

/// Times and ends by process id. A recording this short reuses no id.
fn recorded(recording: &Path) -> HashMap<u32, RecordedUsage> {
    let file = File::open(recording).unwrap_or_else(|error| panic!("no recording: {error}"));
    let reader = Reader::open(BufReader::new(file))
        .unwrap_or_else(|error| panic!("not a recording: {error}"));
    let mut recorded_usage: HashMap<u32, RecordedUsage> = HashMap::new();
    for event in reader {
        if let Event::Fork(fork) = &event {
            recorded_usage.entry(fork.child.tgid.0).or_default().parent = Some(fork.parent.tgid.0);
        } else if let Event::Exit(exit) = &event {
            let it = recorded_usage.entry(exit.process.tgid.0).or_default();
            it.cpu_at_exit_ns = exit.usage.user_ns + exit.usage.system_ns;
            it.max_rss_bytes = exit.usage.max_rss_bytes;
            it.run_delay_ns = exit.usage.run_delay_ns;
            it.end_ns = exit.at.0;
        } else if let Event::Reaped(reaped) = &event {
            let it = recorded_usage.entry(reaped.process.tgid.0).or_default();
            it.cpu_ns = Some(reaped.user_ns + reaped.system_ns);
            it.end_ns = it.end_ns.max(reaped.ended.map_or(0, |at| at.0));
        }
    }
    recorded_usage
}

fn parent_usages(file: &Path) -> HashMap<u32, ParentUsage> {
    let text = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read the wait4 results: {error}"));
    let line = |line: &str| -> Option<(u32, ParentUsage)> {
        let mut words = line.split(' ').map(|it| it.parse::<u64>().ok());
        let mut next = || words.next().flatten();
        Some((
            u32::try_from(next()?).ok()?,
            ParentUsage {
                cpu_ns: next()?,
                max_rss_bytes: next()?,
                at_ns: next()?,
            },
        ))
    };
    text.lines()
        .map(|it| line(it).unwrap_or_else(|| panic!("invalid line {it:?}")))
        .collect()
}

fn seconds(ns: u64) -> String {
    format!("{:.3} s", Duration::from_nanos(ns).as_secs_f64())
}

fn milliseconds(ns: u64) -> String {
    format!("{:.2} ms", Duration::from_nanos(ns).as_secs_f64() * 1e3)
}

fn percent(part: u64, whole: u64) -> String {
    let ratio =
        Duration::from_nanos(part).as_secs_f64() / Duration::from_nanos(whole).as_secs_f64();
    format!("{:.2} %", ratio * 100.0)
}
