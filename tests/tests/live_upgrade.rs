//! One agent after another: what the first left pinned goes on, and the second goes on with it.
#![cfg(test)]

use std::process::Command;

use serde_json::Value;
use tests::agent::Agent;
use tests::bpffs::Bpffs;
use tests::{Module, Toolchain, toolchain};

fn go(module: &Module, toolchain: &Toolchain, args: &[&str]) -> Command {
    let mut go = module.sandbox.go(toolchain);
    go.args(args).current_dir(module.dir());
    go
}

fn build(module: &Module, toolchain: &Toolchain, output: &str) {
    let output = go(module, toolchain, &["build", "-o", output, "."]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn pin_to(bpffs: &Bpffs) -> [String; 2] {
    ["--pin".to_owned(), bpffs.place().display().to_string()]
}

fn states(builds: &[Value]) -> Vec<&str> {
    let states = builds.iter().filter_map(|it| it["state"].as_str());
    states.collect()
}

#[test]
fn builds_that_nobody_watched_are_found_by_the_next_agent() {
    let bpffs = Bpffs::new();
    let args = pin_to(&bpffs);
    let args = [args[0].as_str(), args[1].as_str()];
    let agent = Agent::start_in(tempfile::tempdir().unwrap(), &args);
    let new = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&new);
    build(&module, &new, "before");
    agent.wait_for(&module, 1);
    let (sets, pinned) = (bpffs.sets(), bpffs.pinned());
    assert_eq!(sets.len(), 1, "{pinned:?}");
    assert!(pinned.iter().any(|it| it.contains("/file-")), "{pinned:?}");

    let dir = agent.kill();
    assert_eq!(bpffs.pinned(), pinned);
    build(&module, &new, "between");
    let agent = Agent::start_in(dir, &args);
    let builds = agent.wait_for(&module, 2);
    assert_eq!(bpffs.sets(), sets);
    assert_eq!(states(&builds), ["succeeded"; 2], "{builds:#?}");
    assert_eq!(builds[1]["anomalies"], 0, "{:#?}", builds[1]);
    // It works as before, and what it finds on is what the first had on.
    build(&module, &new, "after");
    let builds = agent.wait_for(&module, 3);
    assert_eq!(states(&builds), ["succeeded"; 3], "{builds:#?}");
    assert_eq!(builds[2]["anomalies"], 0, "{:#?}", builds[2]);
    agent.stop();
    assert_eq!(bpffs.pinned(), [""; 0]);
}

#[test]
fn a_second_agent_does_not_pin_where_the_first_does() {
    let bpffs = Bpffs::new();
    let args = pin_to(&bpffs);
    let args = [args[0].as_str(), args[1].as_str()];
    let first = Agent::start_in(tempfile::tempdir().unwrap(), &args);
    let sets = bpffs.sets();
    let second = Agent::start_in(tempfile::tempdir().unwrap(), &args);
    second.stop();
    assert_eq!(bpffs.sets(), sets);
    first.stop();
    assert_eq!(bpffs.pinned(), [""; 0]);
}
