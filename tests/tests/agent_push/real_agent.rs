//! Real agents with real builds. Needs root.

use std::fs;

use tests::agent::Agent;
use tests::{Module, Toolchain, toolchain};

use crate::gateway::Gateway;
use crate::harness::{free_address, wait_for};

/// A module whose target only this test builds, because an agent observes every build on the machine.
fn module(name: &str, go: &Toolchain) -> (Module, String) {
    let module = Module::copy("wasm");
    let target = format!("example.com/{name}{}", std::process::id());
    module.write("go.mod", &format!("module {target}\n\ngo 1.19\n"));
    module.sandbox.make_warm(go);
    (module, target)
}

fn configure(dir: &std::path::Path, url: &str) -> String {
    let config = dir.join("gotrace.toml");
    let textfile = dir.join("textfile");
    fs::create_dir_all(&textfile).unwrap();
    let text = format!(
        "[textfile]\ndirectory = {textfile:?}\nevery_seconds = 1\n\n[pushgateway]\nurl = \"{url}\"\njob = \"nightly\"\n"
    );
    fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

#[test]
fn builds_reach_an_unreachable_gateway_later_although_the_agent_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    let url = format!("http://ci:hunter2@{address}");
    let config = configure(dir.path(), &url);
    let mut agent = Agent::start_in(dir, &["--config", &config]);
    let go = toolchain("1.27");
    let (module, target) = module("away", &go);
    let build = |expected: bool| {
        let mut command = module.sandbox.go(&go);
        let command = command.args(["build", "-o", "out", "."]);
        let output = command.current_dir(module.dir()).output().unwrap();
        assert_eq!(output.status.success(), expected, "{output:?}");
    };
    build(true);
    agent.wait_for(&module, 1);
    let printed = agent.wait_for_log("cannot push to");
    assert!(
        !printed.contains("hunter2") && printed.contains(&address.to_string()),
        "{printed}"
    );
    // The number of waiting pushes is unknown: other builds on this machine are pushed too.
    agent.wait_for_page(
        "/metrics",
        "gotrace_export_failures_total{sink=\"pushgateway\"} ",
    );
    agent.wait_for_page("/metrics", "gotrace_queue_length{queue=\"pushgateway\"} ");

    let dir = agent.kill();
    let gateway = Gateway::start_at(address);
    let agent = Agent::start_in(dir, &["--config", &config]);
    let group = gateway.wait_for(&target, |_| true);
    assert_eq!(group.labels["job"], "nightly");
    let size = fs::metadata(module.dir().join("out")).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "a size is far below 2^53")]
    let size = size as f64;
    assert_eq!(group.families["go_build_binary_size_bytes"], [size]);

    module.append("main.go", "\nfunc broken() { nothing }\n");
    build(false);
    let builds = agent.wait_for(&module, 2);
    let of = |n: usize, key: &str| builds[n][key].clone();
    assert_eq!(of(1, "state"), "failed", "{builds:#?}");
    for key in ["dir", "command_line"] {
        assert_eq!(of(0, key), of(1, key), "{builds:#?}");
    }
    let group = gateway.wait_for(&target, |it| it.families["go_build_last_success"] == [0.0]);
    assert_eq!(group.families["go_build_binary_size_bytes"], [size]);
    let file = agent.dir().join("textfile/gotrace.prom");
    wait_for("the file reports the failure", || {
        let text = fs::read_to_string(&file).unwrap();
        let has = text.contains("status=\"failed\"");
        if has { Ok(()) } else { Err(text) }
    });
    let spool = agent.dir().join("history.db-pushgateway");
    for file in fs::read_dir(spool).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
    }
    agent.stop();
}

#[test]
fn changed_output_settings_apply_without_a_restart() {
    let first = Gateway::start();
    let second = Gateway::start();
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), &first.url());
    let mut agent = Agent::start_in(dir, &["--config", &config]);
    let go = toolchain("1.27");
    let (module, target) = module("other", &go);
    let mut command = module.sandbox.go(&go);
    let output = command
        .args(["build", "-o", "out", "."])
        .current_dir(module.dir())
        .output();
    assert!(output.unwrap().status.success());
    first.wait_for(&target, |_| true);

    // An invalid configuration changes nothing.
    let good = configure(agent.dir(), &second.url());
    fs::write(&config, "[textfile]\ndirectory = \"/no/such/directory\"\n").unwrap();
    agent.signal("HUP");
    let printed =
        agent.wait_for_log("cannot reload the configuration, the previous one stays active");
    assert!(printed.contains("make that directory"), "{printed}");
    assert_eq!(good, configure(agent.dir(), &second.url()));
    agent.signal("HUP");
    agent.wait_for_log("configuration reloaded");
    // The second gateway has none of the first one's groups.
    second.wait_for(&target, |_| true);
    agent.stop();
}
