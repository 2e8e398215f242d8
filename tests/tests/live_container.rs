//! A build in a container: another root, other mounts and another PID namespace. Its output lies on a file system that ends with
//! the container.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::agent::Agent;
use tests::{Module, Toolchain, toolchain};

/// Directories of this machine that the container mounts read-only.
const SHARED: [&str; 5] = ["usr", "lib", "lib64", "bin", "etc"];

/// Container id in the cgroup's name, in Docker's form.
const CONTAINER: &str = "7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605";
const UNDER_AN_AGENT: &str = "0c2f4d9be2a1460f8a35c1b5d7e06f3918c4a7726bd0e5f19a834c6d2e7b9051";

const SCRIPT: &str = "cd /src && go build -o /tmp/made . && sha256sum /tmp/made";

/// A bundle for `runc` whose root is empty except for mounts: programs of this machine, a toolchain, a module, and a `/tmp` in
/// memory.
fn bundle(dir: &Path, toolchain: &Toolchain, module: &Module, container: &str) {
    let rootfs = dir.join("rootfs");
    for name in SHARED
        .into_iter()
        .chain(["go", "src", "tmp", "proc", "dev"])
    {
        fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    let spec = Command::new("runc")
        .arg("spec")
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(spec.status.success(), "{spec:?}");
    let path = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/sh", "-c", SCRIPT]);
    config["process"]["env"] = json!(["PATH=/go/bin:/usr/bin:/bin", "HOME=/tmp"]);
    config["root"] = json!({"path": "rootfs", "readonly": false});
    let bind = |from: &Path, to: &str| json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", "ro"]});
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.retain(|it| it["destination"] == "/proc" || it["destination"] == "/dev");
    for name in SHARED {
        mounts.push(bind(&Path::new("/").join(name), &format!("/{name}")));
    }
    mounts.push(bind(&toolchain.goroot, "/go"));
    mounts.push(bind(&module.dir().canonicalize().unwrap(), "/src"));
    mounts.push(
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["exec"]}),
    );
    config["linux"]["cgroupsPath"] = json!(format!("/docker/{container}"));
    fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
}

#[test]
fn a_build_in_a_container_is_complete_and_its_output_is_read_in_time() {
    let toolchain = toolchain("1.24");
    let module = Module::copy("wasm");
    let dir = module.sandbox.path().join("bundle");
    fs::create_dir_all(&dir).unwrap();
    bundle(&dir, &toolchain, &module, CONTAINER);
    let name = format!("gotrace-test-{}", std::process::id());
    let bundle = dir.display().to_string();
    let traced = module.trace(&toolchain, &["runc", "run", "--bundle", &bundle, &name]);
    traced.assert_success().assert_complete();
    let build = traced.build();
    assert!(build.packages.compiled > 10, "{:?}", build.packages);
    assert_eq!(
        build.dir.as_ref().map(ToString::to_string).as_deref(),
        Some("/src")
    );
    let place = build.place.as_ref();
    assert_eq!(
        place.and_then(|it| it.container.as_deref()),
        Some(CONTAINER)
    );
    let [output] = &build.outputs[..] else {
        panic!("{:?}", build.outputs)
    };
    assert_eq!(output.path.to_string(), "/tmp/made");
    let printed = String::from_utf8_lossy(&traced.output.stdout);
    let sum = printed.split_whitespace().next().unwrap_or_default();
    let artifact = output.artifact.as_ref();
    assert_eq!(
        artifact.map(|it| it.sha256.as_str()),
        Some(sum),
        "{printed}"
    );
}

#[test]
fn an_agent_outside_a_container_reports_container_toolchain_and_output() {
    let agent = Agent::start();
    let toolchain = toolchain("1.25");
    let outside = Module::copy("wasm");
    outside.sandbox.make_warm(&toolchain);
    outside.run_go(&toolchain, &["build", "-o", "outside", "."]);
    agent.wait_for(&outside, 1);

    let module = Module::copy("wasm");
    let dir = module.sandbox.path().join("bundle");
    fs::create_dir_all(&dir).unwrap();
    bundle(&dir, &toolchain, &module, UNDER_AN_AGENT);
    let name = format!("gotrace-test-agent-{}", std::process::id());
    let output = Command::new("runc")
        .args(["run", "--bundle", dir.to_str().unwrap(), &name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let sum = printed.split_whitespace().next().unwrap_or_default();

    let build = in_container(&agent);
    assert_eq!(build["state"], "succeeded", "{build:#}");
    // Probes are attached to files, so the probes from the first build work through any mount.
    assert_eq!(build["anomalies"], 0, "{build:#}");
    assert_eq!(build["dir"], "/src");
    assert_eq!(build["targets"][0]["path"], "/tmp/made");
    assert_eq!(build["targets"][0]["sha256"], sum, "{build:#}");
    agent.stop();
}

/// The ended build in the container.
fn in_container(agent: &Agent) -> Value {
    let since = Instant::now();
    loop {
        let page = agent.page("/api/v1/builds?limit=1000");
        let listed: Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
        let builds = listed["builds"].as_array().unwrap();
        let found = builds
            .iter()
            .find(|it| it["context"]["container"] == UNDER_AN_AGENT && it["state"] != "running");
        if let Some(build) = found {
            return build.clone();
        }
        assert!(since.elapsed() < Duration::from_mins(2), "{builds:#?}");
        thread::sleep(Duration::from_millis(100));
    }
}
