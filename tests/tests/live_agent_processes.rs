//! The processes of `gotrace agent`: the rights of each, and the state after one of them is killed.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::{Agent, signal};
use tests::{Module, Toolchain, run_gotrace, toolchain};

const PATIENCE: Duration = Duration::from_mins(1);
const NO_ENV: [(&str, &str); 0] = [];

/// A module with a unique name: an agent observes every build on the machine.
fn module_of_its_own(name: &str, toolchain: &Toolchain) -> (Module, String) {
    let module = Module::copy("wasm");
    module.sandbox.make_warm(toolchain);
    let project = format!("example.com/{name}{}", std::process::id());
    module.write("go.mod", &format!("module {project}\n\ngo 1.19\n"));
    (module, project)
}

fn build(module: &Module, toolchain: &Toolchain, output: &str) {
    let mut go = module.go(toolchain, &["build", "-o", output, "."]);
    let built = go.output().unwrap();
    assert!(built.status.success(), "{built:?}");
}

/// Builds in the history, each with its commands and their results.
fn stored_builds(store: &Path, module: &Module) -> Vec<(String, String)> {
    let store = store.to_str().unwrap();
    let args = [
        "builds", "--format", "json", "--limit", "1000", "--store", store,
    ];
    let listed = run_gotrace(args, NO_ENV);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let dir = module.dir().to_str().unwrap();
    let builds = listed["builds"].as_array().unwrap().iter();
    let builds = builds.filter(|it| it["dir"] == dir).map(|it| {
        let [line, state] = ["command_line", "state"].map(|key| it[key].as_str().unwrap());
        let (_, output) = line.split_once("-o ").unwrap();
        (output.trim_end_matches(" .").to_owned(), state.to_owned())
    });
    let mut kept: Vec<(String, String)> = builds.collect();
    kept.sort();
    kept
}

/// A line of `status` of this thread or process, in hexadecimal or decimal digits.
fn status(path: &Path, key: &str) -> u64 {
    let status = fs::read_to_string(path.join("status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix(key));
    let digits = line.unwrap_or_else(|| panic!("no {key}: {status}"));
    u64::from_str_radix(digits.trim(), 16).unwrap()
}

/// The process has ended, or is a zombie that the machine's first process has not reaped.
fn wait_for_end(pid: u32) {
    let since = Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{status}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_storage_process_has_no_other_rights() {
    const SETS: [&str; 5] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];
    /// `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`, `CAP_PERFMON`, `CAP_BPF`.
    const NEEDED: u64 = 1 << 2 | 1 << 19 | 1 << 38 | 1 << 39;
    let agent = Agent::start();
    let new = toolchain("1.27");
    let (module, _) = module_of_its_own("parts", &new);
    let look = || {
        let storage = agent.storage_process().unwrap();
        let title = fs::read_to_string(format!("/proc/{storage}/comm")).unwrap();
        assert_eq!(title, "gotrace-storage\n");
        let tasks = fs::read_dir(format!("/proc/{storage}/task")).unwrap();
        let tasks: Vec<_> = tasks.map(|it| it.unwrap().path()).collect();
        assert!(tasks.len() > 1, "{tasks:?}");
        for task in tasks {
            let has = SETS.map(|set| status(&task, set));
            assert_eq!(has, [0; 5], "{}", task.display());
            assert_eq!(status(&task, "NoNewPrivs:"), 1, "{}", task.display());
        }
        for file in fs::read_dir(format!("/proc/{storage}/fd")).unwrap() {
            // A descriptor that closes meanwhile does not count.
            let opened = fs::read_link(file.unwrap().path()).unwrap_or_default();
            let opened = opened.display().to_string();
            assert!(
                !opened.contains("bpf") && !opened.contains("perf"),
                "{opened}"
            );
        }
        let observer = format!("/proc/{}", agent.pid());
        let has = status(Path::new(&observer), "CapEff:");
        assert_eq!(has & NEEDED, NEEDED, "{has:x}");
    };
    look();
    module.sandbox.make_cold();
    let mut at_work = module
        .go(&new, &["build", "-o", "out", "."])
        .spawn()
        .unwrap();
    look();
    assert!(at_work.wait().unwrap().success());
    let builds = agent.wait_for(&module, 1);
    assert_eq!(builds[0]["state"], "succeeded");
    look();
    // A service manager sends these to all processes of a service, a terminal to all of a group.
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        signal(agent.storage_process().unwrap(), name);
    }
    build(&module, &new, "after");
    agent.wait_for(&module, 2);
    let last = agent.stop();
    assert!(last.contains("ended"), "{last}");
}

#[test]
fn a_killed_storage_process_loses_no_build_and_counts_none_twice() {
    const BUILDS: usize = 24;
    let mut agent = Agent::start();
    let new = toolchain("1.27");
    let (module, project) = module_of_its_own("kills", &new);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..BUILDS {
                build(&module, &new, &format!("out{n:02}"));
            }
        });
        for _ in 0..4 {
            agent.kill_storage_process();
        }
    });
    agent.wait_for(&module, BUILDS);
    let expected: Vec<(String, String)> = (0..BUILDS)
        .map(|n| (format!("out{n:02}"), "succeeded".to_owned()))
        .collect();
    assert_eq!(stored_builds(&agent.store(), &module), expected);
    let counted = |agent: &Agent| -> usize {
        let page = agent.page("/metrics");
        let lines = page.lines().filter(|it| {
            it.starts_with("go_build_builds_total{") && it.contains(&format!("\"{project}\""))
        });
        lines
            .map(|it| it.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap())
            .sum()
    };
    assert_eq!(counted(&agent), BUILDS);
    agent.kill_storage_process();
    assert_eq!(counted(&agent), BUILDS);
    build(&module, &new, "last");
    // A new storage process stores the builds that the killed one had not stored, even at the end.
    let store = agent.store();
    signal(agent.storage_process().unwrap(), "KILL");
    let dir = agent.stop_with_dir();
    assert_eq!(stored_builds(&store, &module).len(), BUILDS + 1);
    drop(dir);
}

#[test]
fn a_killed_agent_leaves_no_process_and_a_current_history() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let (module, _) = module_of_its_own("orphan", &new);
    build(&module, &new, "before");
    agent.wait_for(&module, 1);
    module.sandbox.make_cold();
    let mut across = module
        .go(&new, &["build", "-o", "across", "."])
        .spawn()
        .unwrap();
    while agent.builds_in(&module).len() < 2 {
        assert!(
            matches!(across.try_wait(), Ok(None)),
            "the second build was not listed"
        );
    }
    let storage = agent.storage_process().unwrap();
    let dir = agent.kill();
    wait_for_end(storage);
    let states = stored_builds(&dir.path().join("history.db"), &module);
    let of = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(states, [of("across", "cut_off"), of("before", "succeeded")]);
    // Other tests check that a build survives its agent.
    across.kill().unwrap();
    across.wait().unwrap();
}

#[test]
fn the_storage_process_cannot_be_started_by_hand() {
    let mut gotrace = Command::new(tests::gotrace());
    let output = gotrace
        .arg("storage-process")
        .stdin(std::process::Stdio::null());
    let output = output.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
