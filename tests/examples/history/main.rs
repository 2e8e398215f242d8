//! Fills a history with copies of recorded builds, for `cargo xtask bench history` and for the test `history`, which kills it.
//!
//! * `forward` never ends: it delivers the builds of the history to a central one, as an agent does.
//! * `write` never ends: it prints `stored ID` after storing a build. It can be killed while a build is running.
//! * `fill` stores a number of builds, one minute apart, the last one now.
//! * `keys` stores builds of a large module with cache keys. The last one builds nearly all packages again, the last but one a few.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program prints to the terminal"
)]

mod keys;

use std::fs::File;
use std::io::BufReader;
use std::num::ParseIntError;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept, Limits};
use tracer_core::model::Trace;
use tracer_user::driver;
use tracer_user::history::central::{Address, CentralSettings};
use tracer_user::history::{ForwardConfig, Forwarder, Store, Writer};
use tracer_user::log::Log;

const USAGE: &str = "usage: history write STORE RECORDING... | history fill STORE N RECORDING... | history keys STORE N PACKAGES RECORDING | history forward STORE ADDRESS";
const MINUTE: i64 = 60_000_000_000;
/// One build in `FIRST` comes from the first recording; the other recordings take turns.
const FIRST: i64 = 100;
const PROJECTS: i64 = 50;

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["write", store, recordings @ ..] if !recordings.is_empty() => {
            write(Path::new(store), recordings)
        }
        ["fill", store, n, recordings @ ..] if recordings.len() > 1 => {
            fill(Path::new(store), n, recordings)
        }
        ["keys", store, n, packages, recording] => {
            keys(Path::new(store), n.parse(), packages.parse(), recording)
        }
        ["forward", store, address] => forward(Path::new(store), address),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn write(store: &Path, recordings: &[&str]) -> Result<(), AnyError> {
    let traces = replay(recordings)?;
    let (writer, n_cut_off) = Writer::start(store, 16, Log::stderr())?;
    println!("cut off {n_cut_off}");
    for (n, trace) in (0..).zip(traces.iter().cycle()) {
        let kept: Vec<Kept> =
            history::builds(&FinishedTrace::of(moved(trace, now()?.wrapping_add(n)))).collect();
        for it in &kept {
            writer.begin(it.entry.clone());
        }
        let ids: Vec<String> = kept.iter().map(|it| it.entry.id.to_string()).collect();
        for it in kept {
            writer.finish(it);
        }
        if !writer.flush(Duration::from_mins(1)) {
            return Err("no build was stored within a minute".into());
        }
        for id in ids {
            println!("stored {id}");
        }
    }
    Ok(())
}

fn forward(store: &Path, address: &str) -> Result<(), AnyError> {
    let order = ForwardConfig {
        spool: store.to_owned(),
        limits: Limits::default(),
        address: Address::of(address).ok_or(USAGE)?,
        settings: CentralSettings::default(),
    };
    let _forwarder = Forwarder::start(order, Log::stderr())?;
    loop {
        std::thread::park();
    }
}

fn fill(store: &Path, n: &str, recordings: &[&str]) -> Result<(), AnyError> {
    let (n, now) = (n.parse::<i64>()?, now()?);
    let traces = replay(recordings)?;
    let (first, others) = traces.split_first().ok_or(USAGE)?;
    let mut store = Store::open(store)?;
    for (ago, other) in (0..n).rev().zip(others.iter().cycle()) {
        let trace = if ago % FIRST == 0 { first } else { other };
        let mut trace = moved(trace, now - ago * MINUTE);
        for build in &mut trace.builds {
            build.module = Some(format!("example.com/service-{}", ago % PROJECTS));
        }
        for kept in history::builds(&FinishedTrace::of(trace.clone())) {
            store.finish(&kept)?;
        }
    }
    Ok(())
}

/// Stores `n` builds of a module of that many packages.
fn keys(
    store: &Path,
    n: Result<usize, ParseIntError>,
    n_packages: Result<usize, ParseIntError>,
    recording: &str,
) -> Result<(), AnyError> {
    let (n, now) = (n?, now()?);
    let traces = replay(&[recording])?;
    let template = traces.first().ok_or(USAGE)?;
    let mut module = keys::LargeModule::new(n_packages?);
    let mut store = Store::open(store)?;
    for build in 0..n {
        let trace = if build == 0 {
            module.first_build(template)
        } else {
            module.next_build(template, build, build + 1 == n)
        };
        let trace = trace.ok_or("the recording has no build with a compiler and a linker")?;
        let ago = i64::try_from(n - build)? * MINUTE;
        for kept in history::builds(&FinishedTrace::of(moved(&trace, now - ago))) {
            store.finish(&kept)?;
        }
    }
    Ok(())
}

fn replay(recordings: &[&str]) -> Result<Vec<Trace>, AnyError> {
    recordings
        .iter()
        .map(|path| Ok(driver::replay(BufReader::new(File::open(path)?))?.trace))
        .collect()
}

/// Copies the builds to another time, with other ids.
fn moved(trace: &Trace, to_ns: i64) -> Trace {
    let start = i64::try_from(trace.start.0).unwrap_or(i64::MAX);
    Trace {
        boot_to_wall_ns: to_ns.wrapping_sub(start),
        ..trace.clone()
    }
}

fn now() -> Result<i64, AnyError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_nanos())?)
}
