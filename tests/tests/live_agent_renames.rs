//! The agent observes the renames of a build, and its hook costs other processes nothing while no build runs.
#![cfg(test)]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::Agent;
use tests::bpffs::Bpffs;
use tests::{Module, Toolchain, toolchain, toolchains};

const PATIENCE: Duration = Duration::from_mins(5);

/// The types of the agent's BPF links, as the kernel reports them.
fn links(agent: &Agent) -> Vec<String> {
    let dir = fs::read_dir(format!("/proc/{}/fdinfo", agent.pid())).unwrap();
    // A descriptor may be closed meanwhile.
    let texts = dir.filter_map(|it| fs::read_to_string(it.unwrap().path()).ok());
    let kind = |text: String| {
        let line = text.lines().find_map(|it| it.strip_prefix("link_type:"));
        line.map(|it| it.trim().to_owned())
    };
    texts.filter_map(kind).collect()
}

/// True if a program is attached to a tracepoint by a perf event.
fn is_hooked(agent: &Agent) -> bool {
    links(agent).iter().any(|it| it == "perf")
}

/// True if a program is attached to a function, which costs other processes nothing.
fn has_function(agent: &Agent) -> bool {
    links(agent).iter().any(|it| it == "tracing")
}

fn wait_until_idle(agent: &Agent) {
    let deadline = Instant::now() + PATIENCE;
    while is_hooked(agent) {
        assert!(Instant::now() < deadline, "{:?}", links(agent));
        thread::sleep(Duration::from_millis(50));
    }
}

fn build(module: &Module, toolchain: &Toolchain, output: &str) {
    let mut go = module.sandbox.go(toolchain);
    let go = go.args(["build", "-o", output, "."]);
    let output = go.current_dir(module.dir()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_rename_of_a_build_is_seen_by_an_idle_agent_which_is_idle_again_afterwards() {
    let agent = Agent::start();
    for toolchain in toolchains() {
        let module = Module::copy("wasm");
        let name = format!("renames{}", toolchain.minor());
        module.write("go.mod", &format!("module example.com/{name}\n\ngo 1.19\n"));
        module.sandbox.make_warm(&toolchain);
        wait_until_idle(&agent);

        build(&module, &toolchain, "out");
        // The build has just ended, so the agent still waits for the next one.
        assert_ne!(
            is_hooked(&agent),
            has_function(&agent),
            "{:?}",
            links(&agent)
        );

        let builds = agent.wait_for(&module, 1);
        let build = &agent.shown(&builds[0])["trace"]["builds"][0];
        assert_eq!(build["outputs"][0]["how"], "renamed", "{name}: {build:#}");
        // The probes of a toolchain that the agent meets for the first time are late.
        let mut anomalies = build["anomalies"].as_array().unwrap().iter();
        assert!(anomalies.all(|it| it["anomaly"] != "lost"), "{build:#}");
    }
    wait_until_idle(&agent);
    agent.stop();
}

#[test]
fn a_build_between_two_agents_keeps_its_renames_or_reports_their_loss() {
    let bpffs = Bpffs::new();
    let pin = bpffs.pin_dir();
    let args = ["--pin", pin.to_str().unwrap()];
    let agent = Agent::start_in(tempfile::tempdir().unwrap(), &args);
    let toolchain = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&toolchain);
    build(&module, &toolchain, "first");
    agent.wait_for(&module, 1);
    wait_until_idle(&agent);
    let has_function = has_function(&agent);

    let dir = agent.kill();
    build(&module, &toolchain, "after-a-crash");
    let agent = Agent::start_in(dir, &args);
    let builds = agent.wait_for(&module, 2);
    let crashed = &agent.shown(&builds[1])["trace"]["builds"][0];
    let lost = crashed["anomalies"].as_array().unwrap().iter();
    let lost: Vec<&Value> = lost.filter(|it| it["anomaly"] == "lost").collect();
    if has_function {
        assert_eq!(lost, [&Value::Null; 0], "{crashed:#}");
    } else {
        assert!(
            matches!(lost[..], [it] if it["kind"] == "rename"),
            "{crashed:#}"
        );
    }

    wait_until_idle(&agent);
    fs::create_dir(pin.join("upgrade")).unwrap();
    let dir = agent.stop_with_dir();
    build(&module, &toolchain, "during-an-upgrade");
    let agent = Agent::start_in(dir, &args);
    let builds = agent.wait_for(&module, 3);
    let upgraded = &agent.shown(&builds[2])["trace"]["builds"][0];
    assert_eq!(upgraded["outputs"][0]["how"], "renamed", "{upgraded:#}");
    assert_eq!(builds[2]["anomalies"], 0, "{upgraded:#}");
    agent.stop();
    assert_eq!(bpffs.pinned(), [""; 0]);
}
