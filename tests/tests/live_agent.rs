//! `gotrace agent`: every build on the machine, whoever runs it, is in the history, and nothing else is.
#![cfg(test)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tests::{Module, Toolchain, gotrace_command, run_gotrace, toolchain};

const NO_ENV: [(&str, &str); 0] = [];
const PATIENCE: Duration = Duration::from_mins(2);

/// A process that ends when its test does, however that is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Over already: then there is nothing to end.
        let _over = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A running agent with a history of its own.
struct Agent {
    running: Running,
    address: String,
    store: PathBuf,
    said: BufReader<std::process::ChildStderr>,
    dir: TempDir,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("history.db");
        Self::start_on(dir, store)
    }

    fn start_on(dir: TempDir, store: PathBuf) -> Self {
        let mut child = gotrace_command(NO_ENV)
            .args(["agent", "--detail", "phase", "--listen", "127.0.0.1:0"])
            .arg("--store")
            .arg(&store)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("following every Go build") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the agent ended");
        }
        let (_, address) = line.split_once("http://").unwrap();
        let (address, _) = address.split_once('/').unwrap();
        Self {
            running: Running(child),
            address: address.to_owned(),
            store,
            said,
            dir,
        }
    }

    /// Builds in the history that were run in this module, oldest first.
    fn builds_in(&self, module: &Module) -> Vec<Value> {
        let store = self.store.to_str().unwrap();
        let args = [
            "builds", "--format", "json", "--limit", "0", "--store", store,
        ];
        let output = run_gotrace(args, NO_ENV);
        assert!(output.status.success(), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let builds = json["builds"].as_array().unwrap().iter();
        let dir = module.dir().display().to_string();
        let mut found: Vec<Value> = builds
            .filter(|it| it["dir"].as_str().is_some_and(|it| it.starts_with(&dir)))
            .cloned()
            .collect();
        found.reverse();
        found
    }

    /// What it serves there.
    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    }

    /// Waits until so many builds of the module are over.
    fn wait_for(&self, module: &Module, n: usize) -> Vec<Value> {
        let since = Instant::now();
        loop {
            let found = self.builds_in(module);
            let n_over = found.iter().filter(|it| it["state"] != "running").count();
            if n_over >= n {
                return found;
            }
            assert!(since.elapsed() < PATIENCE, "{n_over} of {n}: {found:#?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.running.0.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends it as a service manager does; returns what it said last, and its directory.
    fn stop(mut self) -> String {
        self.signal("TERM");
        let said: Vec<String> = self.said.lines().map_while(Result::ok).collect();
        let status = self.running.0.wait().unwrap();
        assert!(status.success(), "{status}: {said:?}");
        said.last().cloned().unwrap_or_default()
    }
}

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

#[test]
fn builds_of_anybody_are_kept_each_once_and_what_is_no_build_is_not() {
    let agent = Agent::start();
    let (old, new) = (toolchain("1.19"), toolchain("1.27"));
    let (first, second) = (module(&old), module(&new));
    thread::scope(|scope| {
        scope.spawn(|| go(&first, &old, &["build", "-o", "one", "."]));
        scope.spawn(|| go(&second, &new, &["build", "-o", "two", "."]));
    });
    // As make does it: several, one after another and at once, below a shell.
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
    let n_listed = run_gotrace(
        [
            "builds",
            "--format",
            "json",
            "--limit",
            "1000",
            "--store",
            agent.store.to_str().unwrap(),
        ],
        NO_ENV,
    );
    let listed: Value = serde_json::from_slice(&n_listed.stdout).unwrap();
    assert_eq!(served, listed);
    let last = agent.stop();
    assert!(last.contains("ended"), "{last}");
}

#[test]
fn a_toolchain_that_appears_later_is_probed_when_it_is_first_used() {
    let agent = Agent::start();
    let original = toolchain("1.26");
    let module = module(&original);
    // Another copy of it, hence files that were never seen.
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
    // The probes come while the first is under way, so it says that something is missing of it. Of the second nothing is.
    assert_eq!(builds[0]["state"], "succeeded");
    assert_ne!(builds[0]["anomalies"], 0, "{:#?}", builds[0]);
    assert_eq!(builds[1]["anomalies"], 0, "{:#?}", builds[1]);
    agent.stop();
}

#[test]
fn killed_at_work_it_leaves_the_build_alone_and_the_next_says_what_was_cut_off() {
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
        assert!(since.elapsed() < PATIENCE, "the second build is not seen");
        thread::sleep(Duration::from_millis(20));
    }
    agent.signal("KILL");
    let Agent {
        mut running,
        store,
        dir,
        ..
    } = agent;
    running.0.wait().unwrap();
    assert!(build.wait().unwrap().success());
    let agent = Agent::start_on(dir, store);
    let builds = agent.builds_in(&module);
    let states: Vec<&str> = builds
        .iter()
        .filter_map(|it| it["state"].as_str())
        .collect();
    assert_eq!(states, ["succeeded", "cut_off"], "{builds:#?}");
    // It works as before.
    go(&module, &new, &["build", "-o", "after", "."]);
    assert_eq!(agent.wait_for(&module, 3).len(), 3);
    agent.stop();
}

#[test]
fn a_second_agent_on_the_same_history_says_so_and_ends() {
    let agent = Agent::start();
    let store = agent.store.to_str().unwrap();
    let second = run_gotrace(["agent", "--listen", "none", "--store", store], NO_ENV);
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another agent writes"), "{said}");
    agent.stop();
}
