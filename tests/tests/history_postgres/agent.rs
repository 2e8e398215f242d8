//! A real agent with real builds and a real database: from the kernel to the fleet's history.

use std::fs;
use std::path::Path;

use tests::agent::Agent;
use tests::{Module, gotrace_command, toolchain};

use crate::harness::listed;
use crate::server::{PASSWORD, Server, wait_for};

fn wait_for_builds(server: &Server, module: &Module, n: usize) {
    let dir = module.dir().display();
    let over = format!("build WHERE state = 'succeeded' AND dir = '{dir}'");
    wait_for("the builds arrive", || {
        // The agent observes builds before it has created the schema.
        if !server.is_prepared() {
            return Err("there is no schema".to_owned());
        }
        match server.count(&over) {
            found if found == n => Ok(()),
            found => Err(format!("{found} of {n}")),
        }
    });
}

#[test]
fn builds_reach_the_central_history_after_an_outage_and_a_kill() {
    let mut server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("password");
    fs::write(&password_file, PASSWORD).unwrap();
    let config = dir.path().join("gotrace.toml");
    fs::write(
        &config,
        format!(
            "store = \"postgres://admin@127.0.0.1:{}/history?password_file={}\"\nspool = {:?}\nlisten = \"127.0.0.1:0\"\n\
             [central]\ntimeout_seconds = 5\n",
            server.port,
            password_file.display(),
            dir.path().join("history.db"),
        ),
    )
    .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let agent = Agent::launch(dir, &["--config", &config]);
    let toolchain = toolchain("1.27");
    let module = Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    let build = || {
        let mut go = module.sandbox.go(&toolchain);
        let built = go
            .args(["build", "-o", "out", "."])
            .current_dir(module.dir())
            .output();
        assert!(built.as_ref().unwrap().status.success(), "{built:?}");
    };
    build();
    wait_for_builds(&server, &module, 1);
    let started = fs::read(format!("/proc/{}/cmdline", agent.pid())).unwrap();
    let started = String::from_utf8_lossy(&started).into_owned();
    assert!(!started.contains("pa55"), "{started}");

    server.kill();
    build();
    agent.wait_for(&module, 2);
    // Builds of other tests wait too, so the number is unknown.
    wait_for("builds wait for the database", || {
        let page = agent.page("/metrics");
        let length = page
            .lines()
            .find_map(|it| it.strip_prefix("gotrace_queue_length{queue=\"central\"} "));
        match length {
            None | Some("0") => Err(page),
            Some(_) => Ok(()),
        }
    });
    let dir = agent.kill();
    // No agent runs during this build, so no history contains it.
    build();
    let agent = Agent::launch(dir, &["--config", &config]);
    build();
    agent.wait_for(&module, 3);
    server.restart();
    wait_for_builds(&server, &module, 3);
    agent.wait_for_page("/metrics", "gotrace_queue_length{queue=\"central\"} 0");
    let of_module = |builds: Vec<serde_json::Value>| -> Vec<serde_json::Value> {
        let dir = module.dir().to_str().unwrap();
        builds.into_iter().filter(|it| it["dir"] == dir).collect()
    };
    let central = of_module(listed(Path::new(&server.url("admin")), &[]));
    assert_eq!(central, of_module(listed(&agent.store(), &[])));
    agent.stop();
}

#[test]
fn gotrace_run_stores_in_the_central_history() {
    let mut server = Server::start();
    let toolchain = toolchain("1.27");
    let module = Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    let run = || {
        gotrace_command(module.sandbox.env(&toolchain))
            .args(["run", "--quiet", "--store", &server.url("admin")])
            .args(["--", "go", "build", "-o", "out", "."])
            .current_dir(module.dir())
            .output()
            .unwrap()
    };
    let output = run();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let builds = listed(Path::new(&server.url("admin")), &[]);
    assert_eq!(builds.len(), 1);
    assert_eq!(builds[0]["project"], "example.com/hello");
    let size = fs::metadata(module.dir().join("out")).unwrap().len();
    assert_eq!(builds[0]["targets"][0]["size"], size);
    // A failure of the history does not fail the build.
    let at = server.url("admin");
    server.kill();
    let output = gotrace_command(module.sandbox.env(&toolchain))
        .args(["run", "--quiet", "--store", &at, "--", "go", "vet", "."])
        .current_dir(module.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(
        printed.contains("the builds are not stored: the history postgres://127.0.0.1"),
        "{printed}"
    );
    assert!(!printed.contains("pa55"), "{printed}");
}
