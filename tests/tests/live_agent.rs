//! `gotrace agent`: the history contains every build on the machine, by any user, and nothing else.
#![cfg(test)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::parallel_builds::{Comparison, ParallelBuilds};
use tests::{Gate, Module, Toolchain, run_gotrace, toolchain};

const NO_ENV: [(&str, &str); 0] = [];
const PATIENCE: Duration = Duration::from_mins(2);

fn go(module: &Module, toolchain: &Toolchain, args: &[&str]) {
    let mut go = module.sandbox.go(toolchain);
    let output = go.args(args).current_dir(module.dir()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn module(toolchain: &Toolchain) -> Module {
    let module = Module::copy("wasm");
    module.sandbox.make_warm(toolchain);
    module
}

/// A module with a unique name: an agent observes every build on the machine, including those of other tests.
fn module_of_its_own(name: &str, toolchain: &Toolchain) -> (Module, String) {
    let module = module(toolchain);
    let project = format!("example.com/{name}{}", std::process::id());
    module.write("go.mod", &format!("module {project}\n\ngo 1.19\n"));
    (module, project)
}

/// Runs the tools as Bazel's rules and hand-written scripts do. The agent does not trace the parent process.
#[test]
fn tools_of_one_parent_without_a_go_command_are_one_build() {
    let agent = Agent::start();
    let go = toolchain("1.27");
    let module = module(&go);
    let compile = go.tool("compile");
    for name in ["a", "b", "c"] {
        module.write(&format!("{name}.go"), &format!("package {name}\n"));
    }
    let script = format!(
        "for it in a b c; do {} -o $it.a -p $it $it.go; sleep 0.1; done",
        compile.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(module.dir());
    assert!(shell.output().unwrap().status.success());
    let builds = agent.wait_for(&module, 1);
    let [build] = &builds[..] else {
        panic!("{builds:#?}")
    };
    assert_eq!(build["command"], "tools");
    assert_eq!(build["packages_compiled"], 3, "{build:#?}");
}

#[test]
fn every_build_of_every_user_is_stored_once_and_other_commands_are_not() {
    let agent = Agent::start();
    let (old, new) = (toolchain("1.19"), toolchain("1.27"));
    let (first, second) = (module(&old), module(&new));
    thread::scope(|scope| {
        scope.spawn(|| go(&first, &old, &["build", "-o", "one", "."]));
        scope.spawn(|| go(&second, &new, &["build", "-o", "two", "."]));
    });
    // Runs commands as make does: several in sequence and in parallel, below a shell.
    let path = new.go.parent().unwrap().display();
    let script = format!(
        "PATH={path}:$PATH; go build -o a . & go build -o b . & go vet . & wait; go version; go env GOROOT; cp /bin/true link; ./link"
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(second.dir())
        .env_clear()
        .envs(second.sandbox.env(&new));
    assert!(shell.output().unwrap().status.success());
    let builds = agent.wait_for(&first, 1);
    let [one] = &builds[..] else {
        panic!("{builds:#?}")
    };
    assert_eq!(one["state"], "succeeded");
    assert_eq!(one["go_version"], format!("go{}", old.version));
    assert_eq!(one["anomalies"], 0, "{one:#?}");
    let made = fs::metadata(first.dir().join("one")).unwrap().len();
    assert_eq!(one["targets"][0]["size"], made);
    let builds = agent.wait_for(&second, 4);
    let mut lines: Vec<&str> = builds
        .iter()
        .map(|it| it["command_line"].as_str().unwrap())
        .collect();
    lines.sort_unstable();
    let two = format!("{} build -o two .", new.go.display());
    let mut expected = vec![
        two.as_str(),
        "go build -o a .",
        "go build -o b .",
        "go vet .",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let metrics = agent.page("/metrics");
    let version = format!(r#"go_version="go{}""#, old.version);
    let of_old: Vec<&str> = metrics
        .lines()
        .filter(|it| it.starts_with("go_build_builds_total{") && it.contains(&version))
        .collect();
    assert!(of_old.len() == 1 && of_old[0].ends_with(" 1"), "{of_old:?}");
    assert!(
        metrics.contains(r#"gotrace_events_lost_total{kind="call"} 0"#),
        "{metrics}"
    );
    assert!(agent.page("/-/ready").ends_with('\n'));
    let served: Value = {
        let page = agent.page("/api/v1/builds?limit=1000");
        serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let store = agent.store();
    let n_listed = run_gotrace(
        [
            "builds",
            "--format",
            "json",
            "--limit",
            "1000",
            "--store",
            store.to_str().unwrap(),
        ],
        NO_ENV,
    );
    let listed: Value = serde_json::from_slice(&n_listed.stdout).unwrap();
    assert_eq!(served, listed);
    let last = agent.stop();
    assert!(last.contains("ended"), "{last}");
}

#[test]
fn a_new_toolchain_is_probed_at_its_first_use() {
    let agent = Agent::start();
    let original = toolchain("1.26");
    let module = module(&original);
    // A copy of the toolchain consists of files that gotrace has not seen.
    let goroot = module.sandbox.path().join("later");
    let copied = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .args([&original.goroot, &goroot])
        .status()
        .unwrap();
    assert!(copied.success());
    let later = Toolchain {
        go: goroot.join("bin/go"),
        goroot,
        ..original
    };
    for name in ["first", "second"] {
        module.write(
            "main.go",
            &format!("package main\n\nfunc main() {{ println(\"{name}\") }}\n"),
        );
        go(&module, &later, &["build", "-o", name, "."]);
        agent.wait_for(&module, 1);
    }
    let builds = agent.wait_for(&module, 2);
    // Probes are attached while the first build runs, so that build reports a gap. The second build is complete.
    assert_eq!(builds[0]["state"], "succeeded");
    assert_ne!(builds[0]["anomalies"], 0, "{:#?}", builds[0]);
    assert_eq!(builds[1]["anomalies"], 0, "{:#?}", builds[1]);
    agent.stop();
}

/// An executable script.
fn script(module: &Module, name: &str, text: &str) -> PathBuf {
    let path = module.dir().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_script_that_executes_go_before_it_is_identified_is_a_build() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = module(&new);
    // From here on the toolchain is probed.
    go(&module, &new, &["build", "-o", "before", "."]);
    agent.wait_for(&module, 1);
    let wrapper = script(&module, "go", &format!("exec {} \"$@\"", new.go.display()));
    let gate = Gate::new(module.dir(), "gate");
    agent.signal("STOP");
    let mut build = Command::new(wrapper)
        .args(["build", &gate.flag(), "-o", "wrapped", "."])
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(&new))
        .spawn()
        .unwrap();
    gate.wait();
    agent.signal("CONT");
    let since = Instant::now();
    while agent.builds_in(&module).len() < 2 {
        assert!(since.elapsed() < PATIENCE, "the build was not listed");
        thread::sleep(Duration::from_millis(20));
    }
    gate.open();
    assert!(build.wait().unwrap().success());
    let builds = agent.wait_for(&module, 2);
    assert_eq!(builds[1]["state"], "succeeded", "{:#}", builds[1]);
    assert_eq!(builds[1]["anomalies"], 0, "{:#}", builds[1]);
    let made = fs::metadata(module.dir().join("wrapped")).unwrap().len();
    assert_eq!(builds[1]["targets"][0]["size"], made, "{:#}", builds[1]);
    agent.stop();
}

#[test]
fn a_killed_agent_does_not_affect_the_build_and_the_next_agent_reports_it_cut_off() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = module(&new);
    go(&module, &new, &["build", "-o", "before", "."]);
    agent.wait_for(&module, 1);
    module.sandbox.make_cold();
    let mut build = module
        .sandbox
        .go(&new)
        .args(["build", "-o", "across", "."])
        .current_dir(module.dir())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while agent.builds_in(&module).len() < 2 {
        assert!(
            since.elapsed() < PATIENCE,
            "the second build was not listed"
        );
        thread::sleep(Duration::from_millis(20));
    }
    let dir = agent.kill();
    assert!(build.wait().unwrap().success());
    let agent = Agent::start_in(dir, &[]);
    let builds = agent.builds_in(&module);
    let states: Vec<&str> = builds
        .iter()
        .filter_map(|it| it["state"].as_str())
        .collect();
    assert_eq!(states, ["succeeded", "cut_off"], "{builds:#?}");
    // The agent works as before.
    go(&module, &new, &["build", "-o", "after", "."]);
    assert_eq!(agent.wait_for(&module, 3).len(), 3);
    agent.stop();
}

#[test]
fn a_second_agent_on_the_same_history_reports_this_and_ends() {
    let agent = Agent::start();
    let store = agent.store();
    let store = store.to_str().unwrap();
    let second = run_gotrace(["agent", "--listen", "none", "--store", store], NO_ENV);
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    let printed = String::from_utf8_lossy(&second.stderr);
    assert!(printed.contains("another agent writes"), "{printed}");
    agent.stop();
}

#[test]
fn many_builds_at_once_are_all_stored_with_parents_and_outputs() {
    let toolchain = toolchain("1.27");
    let agent = Agent::start();
    // The toolchain is probed at its first use. A build that began earlier reports a gap.
    let first = module(&toolchain);
    go(&first, &toolchain, &["build", "-o", "first", "."]);
    agent.wait_for(&first, 1);
    let (rounds, at_once) = (size(1, 4), size(50, 250));
    let mut all = Comparison::default();
    let (family, mut delay) = ("\ngotrace_event_delay_seconds ", 0.0_f64);
    for _ in 0..rounds {
        let parallel = ParallelBuilds::new(&toolchain, at_once);
        parallel.run(&toolchain);
        let builds = agent.wait_for_all(parallel.module(), parallel.n_builds());
        all.extend(parallel.compare(&builds));
        agent.wait_for_page("/metrics", family);
        let page = agent.page("/metrics");
        let (_, value) = page
            .split_once(family)
            .expect("the page still has the delay");
        delay = delay.max(value.lines().next().unwrap().parse().unwrap());
    }
    print_figure(
        "builds at once",
        format!("{rounds} times {at_once} and those of go generate"),
        format!(
            "complete {}, with reported gaps {}, wrong {}; records read at most {delay:.1} s after they were written",
            all.complete,
            all.reported,
            all.wrong.len()
        ),
    );
    assert!(all.wrong.is_empty() && all.reported == 0, "{all:#?}");
    agent.stop();
}

#[test]
fn the_builds_of_one_make_share_its_identity() {
    let agent = Agent::start();
    let toolchain = toolchain("1.19");
    let module = module(&toolchain);
    // Make runs a recipe with a plain command itself, and any other recipe through a shell.
    module.write(
        "Makefile",
        "all: one two three\none two:\n\tgo build -o $@ .\nthree:\n\tcd . && go build -o $@ .; true\n",
    );
    let path = toolchain.go.parent().unwrap().display();
    let output = Command::new("make")
        .args(["-j2", "all"])
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(&toolchain))
        .env("PATH", format!("{path}:/usr/bin:/bin"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut makes = Vec::new();
    for build in agent.wait_for(&module, 3) {
        let page = agent.page(&format!("/api/v1/builds/{}", build["id"].as_str().unwrap()));
        let shown: Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
        let above = &shown["trace"]["builds"][0]["above"];
        let found = above
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == "make");
        makes.push(
            found
                .unwrap_or_else(|| panic!("no make among the parents: {above}"))
                .clone(),
        );
    }
    assert!(makes.iter().all(|it| *it == makes[0]), "{makes:#?}");
    agent.stop();
}

#[test]
fn counters_continue_after_a_stop_and_after_a_kill() {
    let toolchain = toolchain("1.27");
    let (module, project) = module_of_its_own("counts", &toolchain);
    let build = |agent: &Agent, n: usize| {
        go(&module, &toolchain, &["build", "-o", "out", "."]);
        agent.wait_for(&module, n);
    };
    let of_builds = |agent: &Agent| -> Vec<(String, f64)> {
        let page = agent.page("/metrics");
        let counters = page.lines().filter(|it| {
            let is_counter = it.starts_with("go_build_builds_total{")
                || it.starts_with("go_build_duration_seconds_")
                || it.starts_with("go_build_packages_total{");
            // Builds of other tests can be counted but not stored when the agent is killed.
            is_counter && it.contains(&project)
        });
        let parts = counters.map(|it| it.rsplit_once(' ').unwrap());
        parts
            .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
            .collect()
    };
    let n_builds = |agent: &Agent| -> u32 {
        let page = agent.page("/metrics");
        let builds = page
            .lines()
            .filter(|it| it.starts_with("go_build_builds_total{") && it.contains(&project));
        builds
            .map(|it| it.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap())
            .sum()
    };
    let no_less = |now: &[(String, f64)], before: &[(String, f64)]| {
        for (series, value) in before {
            let now = now.iter().find(|(it, _)| it == series);
            assert!(
                now.is_some_and(|(_, it)| it >= value),
                "{series} {value}: {now:?}"
            );
        }
    };
    let agent = Agent::start();
    build(&agent, 1);
    let first = of_builds(&agent);
    assert!(first.len() > 10, "{first:?}");
    assert_eq!(n_builds(&agent), 1);
    let dir = agent.stop_with_dir();
    let agent = Agent::start_in(dir, &[]);
    let second = of_builds(&agent);
    no_less(&second, &first);
    build(&agent, 2);
    build(&agent, 3);
    let third = of_builds(&agent);
    assert_eq!(n_builds(&agent), 3);
    // Kills the agent at a moment when the last builds are barely stored.
    let dir = agent.kill();
    let agent = Agent::start_in(dir, &[]);
    let fourth = of_builds(&agent);
    no_less(&fourth, &third);
    assert_eq!(n_builds(&agent), 3);
    agent.stop();
}

#[test]
fn growth_and_drift_are_reported_and_survive_a_restart() {
    let agent = Agent::start_in(tempfile::tempdir().unwrap(), &["--size-budget", "+25%"]);
    let toolchain = toolchain("1.27");
    let (module, project) = module_of_its_own("grows", &toolchain);
    let build = |args: &[&str]| -> u64 {
        let all = [&["build", "-o", "out"], args, &["."]].concat();
        go(&module, &toolchain, &all);
        fs::metadata(module.dir().join("out")).unwrap().len()
    };
    let small = build(&[]);
    agent.wait_for(&module, 1);
    let source = format!(
        "package main\n\nconst text = {:?}\n\nfunc main() {{ for _, it := range text {{ print(it) }} }}\n",
        "abcdefgh".repeat(1 << 17),
    );
    module.write("main.go", &source);
    let large = build(&[]);
    agent.wait_for(&module, 2);
    assert!(large > small, "{small} {large}");
    let target =
        format!("goarch=\"amd64\",goos=\"linux\",project=\"{project}\",target=\"{project}\"");
    let misses = |reason: &str| {
        format!("go_build_cache_misses_total{{project=\"{project}\",reason=\"{reason}\"}} 1")
    };
    let drift = |kind: &str, n: u32| {
        format!("go_build_env_drift{{kind=\"{kind}\",project=\"{project}\"}} {n}")
    };
    let expected = [
        format!("go_build_binary_size_bytes{{{target}}} {large}"),
        format!("go_build_binary_size_baseline_bytes{{{target}}} {small}"),
        format!(
            "go_build_binary_size_delta_bytes{{{target}}} {}",
            large - small
        ),
        format!(
            "go_build_binary_size_threshold_bytes{{{target}}} {}",
            small + small / 4
        ),
        misses("first_build"),
        misses("inputs"),
        drift("goflags", 0),
    ];
    let lacking = |agent: &Agent| -> Vec<String> {
        let page = agent.page("/metrics");
        let mut lacking = expected.to_vec();
        lacking.retain(|it| !page.lines().any(|line| line == it));
        lacking
    };
    assert_eq!(lacking(&agent), [""; 0], "{}", agent.page("/metrics"));
    let dir = agent.stop_with_dir();
    let agent = Agent::start_in(dir, &["--size-budget", "+25%"]);
    assert_eq!(lacking(&agent), [""; 0], "{}", agent.page("/metrics"));
    // A changed flag in the environment is drift, and rebuilds everything by itself.
    let mut go = module.sandbox.go(&toolchain);
    go.args(["build", "-o", "out", "."])
        .env("GOFLAGS", "-tags=x");
    assert!(go.current_dir(module.dir()).status().unwrap().success());
    agent.wait_for(&module, 3);
    for line in [misses("flags"), drift("goflags", 1), drift("toolchain", 0)] {
        // The counter is new to this reader of several pages, and thus 0 at first.
        agent.wait_for_page("/metrics", &format!("\n{line}\n"));
    }
    agent.stop();
}
