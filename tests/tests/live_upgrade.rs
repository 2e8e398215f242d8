//! Consecutive agents: the pins of the first continue to trace, and the second takes them over.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::{Agent, signal};
use tests::bpffs::Bpffs;
use tests::{Module, Toolchain, run_gotrace, toolchain};

const PATIENCE: Duration = Duration::from_mins(2);

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

/// Starts a cold build, and waits until the agent has observed it.
fn begin(agent: &Agent, module: &Module, toolchain: &Toolchain) -> Child {
    let n = agent.builds_in(module).len();
    module.sandbox.make_cold();
    // Go would not link an existing, up-to-date program again.
    let _absent = fs::remove_file(module.dir().join("program"));
    let build = go(module, toolchain, &["build", "-o", "program", "."]).spawn();
    let since = Instant::now();
    while agent.builds_in(module).len() == n {
        assert!(since.elapsed() < PATIENCE, "the build was not listed");
        thread::sleep(Duration::from_millis(20));
    }
    build.unwrap()
}

/// Sorted facts of a module's cold build.
fn facts(agent: &Agent, build: &Value) -> Vec<String> {
    let store = agent.store();
    let id = build["id"].as_str().unwrap();
    let shown = run_gotrace(
        [
            "show",
            id,
            "--format",
            "json",
            "--store",
            store.to_str().unwrap(),
        ],
        [("", ""); 0],
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let build = &shown["trace"]["builds"][0];
    let mut facts = vec![format!("{} {}", build["status"], build["anomalies"])];
    for call in build["calls"].as_array().unwrap() {
        let phases = call["phases"].as_array().unwrap().iter();
        let phases: Vec<&Value> = phases.map(|it| &it["name"]).collect();
        facts.push(format!(
            "{} of {}: {} {phases:?}",
            call["kind"], call["package"], call["status"]
        ));
    }
    for action in build["actions"].as_array().unwrap() {
        facts.push(format!(
            "{} of {}: {}",
            action["mode"], action["package"], action["outcome"]
        ));
    }
    for output in build["outputs"].as_array().unwrap() {
        facts.push(format!(
            "{}: {}",
            output["path"], output["artifact"]["sha256"]
        ));
    }
    facts
}

/// Fails unless both lists are equal, and shows the differences.
fn assert_same(undisturbed: &[String], disturbed: &[String]) {
    let less = |left: &[String], right: &[String]| {
        let mut rest = right.to_vec();
        let mut less = left.to_vec();
        less.retain(|it| match rest.iter().position(|other| other == it) {
            Some(i) => {
                rest.swap_remove(i);
                false
            }
            None => true,
        });
        less
    };
    let (missing, more) = (less(undisturbed, disturbed), less(disturbed, undisturbed));
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing: {missing:#?}\nmore: {more:#?}"
    );
}

#[test]
fn a_build_is_complete_although_agents_were_killed_and_upgraded_meanwhile() {
    let bpffs = Bpffs::new();
    let args = pin_to(&bpffs);
    let args = [args[0].as_str(), args[1].as_str()];
    let mut agent = Agent::start_in(tempfile::tempdir().unwrap(), &args);
    let new = toolchain("1.27");
    let module = Module::copy("wasm");
    // The counters include all builds on the machine.
    let project = format!("example.com/upgrade-{}", std::process::id());
    module.write("go.mod", &format!("module {project}\n\ngo 1.19\n"));
    // From here on its tools are probed.
    module.sandbox.make_warm(&new);
    build(&module, &new, "first");
    agent.wait_for(&module, 1);
    assert!(begin(&agent, &module, &new).wait().unwrap().success());
    agent.wait_for(&module, 2);
    let sets = bpffs.sets();
    for (n_before, is_announced) in [(2, false), (3, true)] {
        let mut build = begin(&agent, &module, &new);
        for _ in 0..2 {
            let over = build.try_wait().unwrap();
            assert!(over.is_none(), "the build ended too early: {over:?}");
            let dir = if is_announced {
                fs::create_dir(bpffs.pin_dir().join("upgrade")).unwrap();
                agent.stop_with_dir()
            } else {
                agent.kill()
            };
            assert_eq!(bpffs.sets(), sets);
            agent = Agent::start_in(dir, &args);
        }
        assert!(build.wait().unwrap().success());
        // The agent reads the output before the next build overwrites it.
        agent.wait_for(&module, n_before + 1);
    }
    let builds = agent.builds_in(&module);
    assert_eq!(states(&builds), ["succeeded"; 4], "{builds:#?}");
    let undisturbed = facts(&agent, &builds[1]);
    assert_eq!(undisturbed[0], r#"{"code":0} []"#);
    assert_same(&undisturbed, &facts(&agent, &builds[2]));
    assert_same(&undisturbed, &facts(&agent, &builds[3]));
    // The build is counted once, as any other.
    let project = format!(r#"project="{project}""#);
    let metrics = agent.page("/metrics");
    let counted: Vec<&str> = metrics
        .lines()
        .filter(|it| it.starts_with("go_build_builds_total{") && it.contains(&project))
        .collect();
    assert!(
        counted.len() == 1 && counted[0].ends_with(" 4"),
        "{counted:?}"
    );
    let left = agent.dir().join("history.db-under-way");
    assert!(left.is_dir());
    let dir = agent.stop_with_dir();
    assert!(!left.exists(), "{dir:?}");
    assert_eq!(bpffs.pinned(), [""; 0]);
}

fn pin_to(bpffs: &Bpffs) -> [String; 2] {
    ["--pin".to_owned(), bpffs.pin_dir().display().to_string()]
}

fn states(builds: &[Value]) -> Vec<&str> {
    let states = builds.iter().filter_map(|it| it["state"].as_str());
    states.collect()
}

#[test]
fn the_next_agent_finds_builds_that_ran_without_an_agent() {
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
    // The agent works as before, and its probes are those that the first agent attached.
    build(&module, &new, "after");
    let builds = agent.wait_for(&module, 3);
    assert_eq!(states(&builds), ["succeeded"; 3], "{builds:#?}");
    assert_eq!(builds[2]["anomalies"], 0, "{:#?}", builds[2]);
    agent.stop();
    assert_eq!(bpffs.pinned(), [""; 0]);
}

#[test]
fn a_build_not_stored_yet_survives_both_processes() {
    let bpffs = Bpffs::new();
    let args = pin_to(&bpffs);
    let args = [args[0].as_str(), args[1].as_str()];
    let agent = Agent::start_in(tempfile::tempdir().unwrap(), &args);
    let new = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&new);
    build(&module, &new, "before");
    agent.wait_for(&module, 1);
    let storage = agent.storage_process().unwrap();
    signal(storage, "STOP");
    build(&module, &new, "waits");
    // By then the build has ended and waits for the storage process. A build that still ran would be resumed as a running one.
    thread::sleep(Duration::from_secs(3));
    signal(agent.pid(), "KILL");
    signal(storage, "KILL");
    let agent = Agent::start_in(agent.kill(), &args);
    let builds = agent.wait_for(&module, 2);
    assert_eq!(states(&builds), ["succeeded"; 2], "{builds:#?}");
    // The new agent reports builds that earlier agents saw end, and the history already contains them.
    build(&module, &new, "after");
    let builds = agent.wait_for(&module, 3);
    let ids: BTreeSet<&str> = builds.iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!((ids.len(), builds.len()), (3, 3), "{builds:#?}");
    agent.stop();
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
