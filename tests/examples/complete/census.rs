//! Counts the executions of each program in a cold build, by strace and in the recording.
//!
//! Version queries are left out: their number depends on which process queries first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use tests::{Module, Toolchain};
use tracer_core::event::Event;

use crate::check;

/// Executions by the file name in `argv[0]`.
pub(crate) type Census = BTreeMap<String, usize>;

pub(crate) fn total(census: &Census) -> usize {
    census.values().sum()
}

pub(crate) fn differences(counted: &Census, recorded: &Census) -> Vec<String> {
    let programs: BTreeSet<&String> = counted.keys().chain(recorded.keys()).collect();
    let count = |census: &Census, name: &str| census.get(name).copied().unwrap_or_default();
    let differing = programs
        .into_iter()
        .filter(|it| count(counted, it) != count(recorded, it));
    differing
        .map(|it| {
            format!(
                "{it}: {} executions by strace, {} recorded",
                count(counted, it),
                count(recorded, it)
            )
        })
        .collect()
}

pub(crate) fn of_recording(events: &[Event]) -> Census {
    let mut census = Census::new();
    for event in events {
        if let Event::Exec(exec) = event
            && !check::is_query(exec)
            && check::program(exec) != "go"
        {
            *census.entry(check::program(exec)).or_default() += 1;
        }
    }
    census
}

/// Counts with strace in a build like the recorded ones.
pub(crate) fn by_strace(toolchain: &Toolchain, pattern: &str) -> Census {
    let module = Module::copy("hello");
    let file = module.sandbox.out().join("strace.txt");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-s", "4096", "-e", "trace=execve", "-o"])
        .arg(&file)
        .arg("--")
        .arg(&toolchain.go)
        .args(["build", pattern, "."])
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(toolchain))
        .output()
        .unwrap_or_else(|error| panic!("cannot run strace: {error}"));
    assert!(
        output.status.success(),
        "the build under strace failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("cannot read the output of strace: {error}"));
    parse(&text)
}

/// Parses lines such as `123 execve("/bin/x", ["x", "-a"], ... = 0`. Some lines have two parts.
fn parse(text: &str) -> Census {
    let mut census = Census::new();
    let mut unfinished: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if call.ends_with("<unfinished ...>") {
            unfinished.insert(pid, call);
            continue;
        }
        let start = if call.starts_with("<... execve resumed>") {
            unfinished.remove(pid).unwrap_or_default()
        } else {
            call
        };
        if !call.ends_with("= 0") || start.contains(r#""-V=full""#) || start.contains(r#""-flags""#)
        {
            continue;
        }
        let argv0 = start
            .split_once(r#"", [""#)
            .and_then(|(_, rest)| rest.split_once('"'))
            .map_or("", |(it, _)| it);
        let program = argv0.rsplit('/').next().unwrap_or_default();
        if program != "go" {
            *census.entry(program.to_owned()).or_default() += 1;
        }
    }
    census
}
