//! The `DaemonSet` of `deploy/kubernetes`, run by podman: it observes builds in other containers with the rights in the manifest.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tests::lease::inodes;
use tests::{Module, Podman, Toolchain, static_gotrace, toolchain};

const PATIENCE: Duration = Duration::from_mins(2);
/// Name of the image in the manifest.
const IMAGE: &str = concat!("localhost/gotrace:", env!("CARGO_PKG_VERSION"));
const POD: &str = "gotrace-pod-gotrace";

/// `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`, `CAP_LEASE`, `CAP_PERFMON` and `CAP_BPF`, by their numbers in `linux/capability.h`.
const CAPABILITIES: u64 = 1 << 2 | 1 << 19 | 1 << 28 | 1 << 38 | 1 << 39;

const GET: &str = r#"
exec 3<>/dev/tcp/127.0.0.1/10127
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
timeout 60 cat <&3
"#;

fn deploy() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy"))
}

/// A pod of the manifest.
struct Pod {
    podman: Podman,
    /// Process id of the agent in the machine's numbering.
    pid: String,
    _files: TempDir,
}

impl Pod {
    fn start() -> Self {
        let podman = Podman::start();
        let files = TempDir::new().unwrap();
        fs::copy(static_gotrace(), files.path().join("gotrace")).unwrap();
        let context = podman.share("context", files.path());
        let file = podman.share("deploy", deploy()) + "/Containerfile";
        podman.run(&[
            "build",
            "--quiet",
            "--network=none",
            "--tag",
            IMAGE,
            "--file",
            &file,
            &context,
        ]);

        let manifest = fs::read_to_string(deploy().join("kubernetes/gotrace.yaml")).unwrap();
        // The only part that podman cannot do: it has no nodes.
        let played = manifest.replace("fieldPath: spec.nodeName", "fieldPath: metadata.name");
        assert_ne!(manifest, played);
        fs::write(files.path().join("gotrace.yaml"), played).unwrap();
        podman.run(&[
            "kube",
            "play",
            "--network",
            "none",
            &format!("{context}/gotrace.yaml"),
        ]);
        let pid = podman.run(&["inspect", "--format", "{{.State.Pid}}", POD]);
        Self {
            podman,
            pid,
            _files: files,
        }
    }

    /// Body of a page, requested from the pod's network, as the kubelet and Prometheus do.
    fn get(&self, path: &str) -> String {
        let output = Command::new("nsenter")
            .args([
                "--target", &self.pid, "--net", "bash", "-c", GET, "bash", path,
            ])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_until_ready(&self) {
        let since = Instant::now();
        loop {
            let answer = self.get("/-/ready");
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{answer}: {}", self.log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        let output = self.podman.command(&["logs", POD]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A line of the agent's status in `/proc`.
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status
            .lines()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }

    /// The ended build in that container, as the pod's gotrace lists it.
    fn build_in(&self, container: &str) -> Value {
        let since = Instant::now();
        loop {
            let listed = self.podman.run(&[
                "exec", POD, "/gotrace", "builds", "--limit", "1000", "--format", "json",
            ]);
            let listed: Value = serde_json::from_str(&listed).unwrap();
            let mut builds = listed["builds"].as_array().unwrap().iter();
            let found = builds
                .find(|it| it["context"]["container"] == container && it["state"] != "running");
            if let Some(build) = found {
                return build.clone();
            }
            assert!(
                since.elapsed() < PATIENCE,
                "no build in {container}: {listed:#}\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A container that builds a module with its own toolchain and contains nothing else.
struct Builder {
    module: Module,
    id: String,
}

impl Builder {
    fn create(podman: &Podman, name: &str, toolchain: &Toolchain) -> Self {
        let module = Module::copy("wasm");
        module.sandbox.make_warm(toolchain);
        let share = |what: &str, dir: &Path| podman.share(&format!("{name}-{what}"), dir);
        let go = share("go", &toolchain.goroot) + ":/go:ro";
        let src = share("src", module.dir()) + ":/src:ro";
        let cache = share("cache", &module.sandbox.gocache()) + ":/cache";
        let out = share("out", &module.sandbox.out()) + ":/out";
        let id = podman.run(&[
            "create",
            "--name",
            name,
            "--network=none",
            "--volume",
            &go,
            "--volume",
            &src,
            "--volume",
            &cache,
            "--volume",
            &out,
            "--tmpfs",
            "/tmp:exec",
            "--env",
            "HOME=/tmp",
            "--env",
            "PATH=/go/bin",
            "--env",
            "GOCACHE=/cache",
            "--env",
            "GOTOOLCHAIN=local",
            "--env",
            "CGO_ENABLED=0",
            "--workdir",
            "/src",
            "--entrypoint",
            "/go/bin/go",
            IMAGE,
            "build",
            "-o",
            "/out/made",
            ".",
        ]);
        Self { module, id }
    }

    /// Checks that the reported output equals the real one, with its path.
    fn assert_is(&self, build: &Value) {
        assert_eq!(build["state"], "succeeded", "{build:#}");
        assert_eq!(build["dir"], "/src", "{build:#}");
        assert_eq!(build["targets"][0]["path"], "/out/made", "{build:#}");
        let made = self.module.sandbox.out().join("made");
        let sum = Command::new("sha256sum").arg(&made).output().unwrap();
        let sum = String::from_utf8_lossy(&sum.stdout)
            .split(' ')
            .next()
            .unwrap()
            .to_owned();
        assert_eq!(build["targets"][0]["sha256"], sum, "{build:#}");
    }
}

#[test]
fn a_pod_traces_builds_in_other_containers_with_the_rights_in_the_manifest() {
    let pod = Pod::start();
    pod.wait_until_ready();
    assert!(
        pod.get("/metrics")
            .contains("\ngotrace_self_test_success 1\n")
    );

    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(
            u64::from_str_radix(&pod.status(set), 16).unwrap(),
            CAPABILITIES,
            "{set}"
        );
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(
            u64::from_str_radix(&pod.status(set), 16).unwrap() & !CAPABILITIES,
            0,
            "{set}"
        );
    }
    assert_eq!(pod.status("NoNewPrivs"), "1");
    assert_eq!(pod.status("Seccomp"), "2", "not filtered");
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", pod.pid)).unwrap();
    let root = mounts
        .lines()
        .find(|it| it.split(' ').nth(1) == Some("/"))
        .unwrap();
    let options = root.split(' ').nth(3).unwrap();
    assert!(options.split(',').any(|it| it == "ro"), "{root}");

    // A toolchain is probed at its first use.
    let toolchain = toolchain("1.27");
    let first = Builder::create(&pod.podman, "first", &toolchain);
    pod.podman.run(&["start", "--attach", "first"]);
    first.assert_is(&pod.build_in(&first.id));
    let locks = fs::read_to_string("/proc/locks").unwrap();
    assert!(!inodes(&locks, &pod.pid).is_empty(), "{locks}");

    let names = ["left", "right"];
    let builders = names.map(|name| Builder::create(&pod.podman, name, &toolchain));
    thread::scope(|scope| {
        for name in names {
            scope.spawn(|| pod.podman.run(&["start", "--attach", name]));
        }
    });
    for builder in builders {
        let build = pod.build_in(&builder.id);
        builder.assert_is(&build);
        let id = build["id"].as_str().unwrap();
        let shown = pod.podman.run(&["exec", POD, "/gotrace", "show", id]);
        assert_eq!(build["anomalies"], 0, "{shown}");
        assert_eq!(build["context"]["host"], "gotrace-pod", "{build:#}");
    }
}
