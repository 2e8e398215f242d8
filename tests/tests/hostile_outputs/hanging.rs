//! An output on a file system that does not answer. gotrace records other builds meanwhile, and this build at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::Agent;
use tests::{Module, Toolchain, run_gotrace, toolchain};

const PATIENCE: Duration = Duration::from_mins(1);
/// User that mounts the file system. gotrace does not queue this user's files with those of others.
const HOSTILE: &str = "60001";

/// A FUSE file system that mirrors a directory and stops on request.
struct Fuse {
    server: Child,
    at: PathBuf,
}

impl Fuse {
    fn mount(what: &Path, at: &Path) -> Self {
        assert!(Path::new("/dev/fuse").exists(), "this kernel has no FUSE");
        let server = Command::new("bindfs")
            .args(["-f", "-o", "allow_other"])
            .args([what, at])
            .stdout(Stdio::null())
            .spawn()
            .expect("bindfs: `cargo xtask test` installs it");
        let fuse = Self {
            server,
            at: at.to_owned(),
        };
        let since = Instant::now();
        while !fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(at.to_str().unwrap())
        {
            assert!(since.elapsed() < PATIENCE, "bindfs does not mount");
            thread::sleep(Duration::from_millis(10));
        }
        fuse
    }

    fn signal(&self, name: &str) {
        signal(self.server.id(), name);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Killing the server releases waiting processes: their calls fail.
        let _dead = self.server.kill();
        let _reaped = self.server.wait();
        let _unmounted = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn module(toolchain: &Toolchain, name: &str) -> Module {
    let module = Module::copy("wasm");
    module.write("go.mod", &format!("module example.com/{name}\n\ngo 1.19\n"));
    module.sandbox.make_warm(toolchain);
    module
}

fn build(module: &Module, toolchain: &Toolchain, before: &[&str], out: &Path) {
    let go = toolchain.go.to_str().unwrap();
    let args = [before, &[go, "build", "-o", out.to_str().unwrap(), "."]].concat();
    let output = Command::new(args[0])
        .args(&args[1..])
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(toolchain))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn output(agent: &Agent, build: &Value) -> Value {
    let store = agent.store();
    let id = build["id"].as_str().unwrap();
    let args = ["show", id, "--format", "json", "--store"];
    let none: [(&str, &str); 0] = [];
    let shown = run_gotrace(args.into_iter().chain([store.to_str().unwrap()]), none);
    assert!(shown.status.success(), "{shown:?}");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    shown["trace"]["builds"][0]["outputs"][0].clone()
}

#[test]
fn a_hanging_file_system_of_an_output_delays_no_other_build() {
    let new = toolchain("1.27");
    let (hostile, honest) = (module(&new, "stuck"), module(&new, "honest"));
    let owned = Command::new("chown")
        .args(["-R", HOSTILE])
        .arg(hostile.sandbox.path())
        .status();
    assert!(owned.unwrap().success());
    let (behind, at) = (hostile.dir().join("behind"), hostile.dir().join("at"));
    for dir in [&behind, &at] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let fuse = Fuse::mount(&behind, &at);
    let agent = Agent::start();
    let as_hostile = ["setpriv", "--reuid", HOSTILE, "--clear-groups"];
    // The first build with a toolchain attaches its probes.
    build(&hostile, &new, &as_hostile, &hostile.dir().join("first"));
    agent.wait_for(&hostile, 1);

    // The agent reads the output only after the file system has stopped.
    signal(agent.pid(), "STOP");
    build(&hostile, &new, &as_hostile, &at.join("out"));
    fuse.signal("STOP");
    signal(agent.pid(), "CONT");

    build(&honest, &new, &[], &honest.sandbox.out().join("out"));
    let builds = agent.wait_for(&honest, 1);
    let of_honest = output(&agent, &builds[0]);
    assert!(
        of_honest["artifact"]["anatomy"].is_object(),
        "{of_honest:#}"
    );
    let over: Vec<Value> = agent
        .builds_in(&hostile)
        .iter()
        .skip(1)
        .filter(|it| it["state"] != "running")
        .map(|it| output(&agent, it))
        .collect();
    assert!(over.is_empty(), "the file system was not stuck: {over:#?}");

    fuse.signal("CONT");
    let builds = agent.wait_for(&hostile, 2);
    let of_hostile = output(&agent, &builds[1]);
    assert!(
        of_hostile["artifact"]["sha256"].is_string(),
        "{of_hostile:#}"
    );
    agent.stop();
}

/// A child that ends with its test.
struct SleepingChild(Child);

impl Drop for SleepingChild {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_hanging_file_system_of_a_program_delays_no_build() {
    let new = toolchain("1.27");
    let honest = module(&new, "awake");
    let dir = honest.sandbox.path();
    let (behind, at) = (dir.join("behind"), dir.join("at"));
    for dir in [&behind, &at] {
        fs::create_dir(dir).unwrap();
    }
    // The name of a Go tool, so that the agent identifies the program.
    fs::copy("/bin/sleep", behind.join("vet")).unwrap();
    let fuse = Fuse::mount(&behind, &at);
    let agent = Agent::start();
    build(&honest, &new, &[], &honest.sandbox.out().join("first"));
    agent.wait_for(&honest, 1);

    // The agent identifies the program only while it runs and its file system is stopped.
    signal(agent.pid(), "STOP");
    let mut asleep = Command::new("setpriv");
    asleep.args(["--reuid", HOSTILE, "--clear-groups"]);
    let asleep = asleep.arg(at.join("vet")).arg("1000").spawn().unwrap();
    let mut asleep = SleepingChild(asleep);
    let since = Instant::now();
    // Waits until the program sleeps and no longer waits for its pages.
    let is_asleep = || {
        let wchan = fs::read_to_string(format!("/proc/{}/wchan", asleep.0.id()));
        wchan.is_ok_and(|it| it.contains("nanosleep"))
    };
    while !is_asleep() {
        assert!(since.elapsed() < PATIENCE, "the program does not begin");
        thread::sleep(Duration::from_millis(20));
    }
    fuse.signal("STOP");
    signal(agent.pid(), "CONT");

    build(&honest, &new, &[], &honest.sandbox.out().join("second"));
    let builds = agent.wait_for(&honest, 2);
    assert_eq!(builds[1]["project"], "example.com/awake", "{builds:#?}");
    assert_eq!(asleep.0.try_wait().unwrap(), None);
    let opens = Command::new("timeout")
        .args(["1", "head", "-c", "1"])
        .arg(at.join("vet"))
        .output();
    assert!(
        !opens.unwrap().status.success(),
        "the file system was not stuck"
    );
    fuse.signal("CONT");
    agent.stop();
}

#[test]
fn a_tool_on_a_fuse_file_system_is_identified_and_not_probed() {
    let new = toolchain("1.27");
    let module = module(&new, "served");
    let root = new.go.parent().and_then(Path::parent).unwrap();
    let at = module.sandbox.path().join("at");
    fs::create_dir(&at).unwrap();
    let _fuse = Fuse::mount(root, &at);
    let agent = Agent::start();
    let output = Command::new(at.join("bin/go"))
        .args(["build", "-o", "out", "."])
        .current_dir(module.dir())
        .env_clear()
        .envs(module.sandbox.env(&new))
        .env("GOROOT", &at)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let builds = agent.wait_for(&module, 1);
    let id = builds[0]["id"].as_str().unwrap();
    let store = agent.store();
    let args = ["show", id, "--format", "json", "--store"];
    let none: [(&str, &str); 0] = [];
    let shown = run_gotrace(args.into_iter().chain([store.to_str().unwrap()]), none);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("(FUSE)"), "{shown}");
    agent.stop();
}

#[test]
fn a_hanging_file_system_of_settings_delays_no_other_build() {
    let new = toolchain("1.27");
    let (hostile, honest) = (module(&new, "mute"), module(&new, "spoken"));
    let at = hostile.sandbox.path().join("at");
    fs::create_dir(&at).unwrap();
    let owned = Command::new("chown")
        .args(["-R", HOSTILE])
        .arg(hostile.sandbox.path())
        .status();
    assert!(owned.unwrap().success());
    let fuse = Fuse::mount(hostile.dir(), &at);
    let agent = Agent::start();
    build(&honest, &new, &[], &honest.sandbox.out().join("first"));
    agent.wait_for(&honest, 1);

    // The build waits for its go.mod, as the agent does.
    let script = format!(
        "cd {} && kill -STOP {} && exec setpriv --reuid {HOSTILE} --clear-groups {} build -o {} .",
        at.display(),
        fuse.server.id(),
        new.go.display(),
        hostile.sandbox.out().join("out").display(),
    );
    let mut waiting = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .envs(hostile.sandbox.env(&new))
        .spawn()
        .unwrap();
    let since = Instant::now();
    let begun = || {
        let page = agent.page("/api/v1/builds?limit=1000&status=running");
        page.contains(at.to_str().unwrap())
    };
    while !begun() {
        assert!(since.elapsed() < PATIENCE, "the build was not listed");
        thread::sleep(Duration::from_millis(20));
    }
    build(&honest, &new, &[], &honest.sandbox.out().join("second"));
    let builds = agent.wait_for(&honest, 2);
    assert_eq!(builds[1]["project"], "example.com/spoken", "{builds:#?}");
    assert_eq!(
        waiting.try_wait().unwrap(),
        None,
        "the file system was not stuck"
    );

    fuse.signal("CONT");
    assert!(waiting.wait().unwrap().success());
    let since = Instant::now();
    loop {
        let page = agent.page("/api/v1/builds?limit=1000&status=succeeded");
        if page.contains(at.to_str().unwrap()) && page.contains("\"example.com/mute\"") {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{page}");
        thread::sleep(Duration::from_millis(100));
    }
    agent.stop();
}
