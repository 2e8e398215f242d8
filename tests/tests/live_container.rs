//! A build in a container: another root, other mounts, another numbering of processes. What it makes lies on a file system that is gone
//! with the container.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Module, Toolchain, toolchain};

/// Directories of this machine that the container sees, read-only.
const SHARED: [&str; 5] = ["usr", "lib", "lib64", "bin", "etc"];

/// Id of the container, which its cgroup has as Docker names them.
const CONTAINER: &str = "7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605";

/// A bundle for `runc` whose root holds nothing of its own: programs of this machine, a toolchain, a module, and a `/tmp` in memory.
fn bundle(dir: &Path, toolchain: &Toolchain, module: &Module, script: &str) {
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
    config["process"]["args"] = json!(["/bin/sh", "-c", script]);
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
    config["linux"]["cgroupsPath"] = json!(format!("/docker/{CONTAINER}"));
    fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
}

#[test]
fn a_build_in_a_container_is_whole_and_its_output_is_read_before_it_is_gone() {
    let toolchain = toolchain("1.24");
    let module = Module::copy("wasm");
    let dir = module.sandbox.path().join("bundle");
    fs::create_dir_all(&dir).unwrap();
    bundle(
        &dir,
        &toolchain,
        &module,
        "cd /src && go build -o /tmp/made . && sha256sum /tmp/made",
    );
    let name = format!("gotrace-test-{}", std::process::id());
    let bundle = dir.display().to_string();
    let traced = module.trace(&toolchain, &["runc", "run", "--bundle", &bundle, &name]);
    traced.assert_success().assert_whole();
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
    let said = String::from_utf8_lossy(&traced.output.stdout);
    let sum = said.split_whitespace().next().unwrap_or_default();
    let artifact = output.artifact.as_ref();
    assert_eq!(artifact.map(|it| it.sha256.as_str()), Some(sum), "{said}");
}
