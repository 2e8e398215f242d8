//! A real agent with its own history. It ends with its test. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Module, gotrace_command, run_gotrace};

const PATIENCE: Duration = Duration::from_mins(2);
const STORE: &str = "history.db";

/// A process that ends with its test, even if the test fails.
struct Running {
    child: Child,
    /// The lines of its stderr. The storage process inherits the other end of the pipe.
    log: Receiver<String>,
}

impl Running {
    fn of(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        thread::spawn(move || {
            // The thread reads to the end, also without a receiver: a full pipe would block the agent.
            for line in stderr.split(b'\n').map_while(Result::ok) {
                let _dropped = sender.send(String::from_utf8_lossy(&line).into_owned() + "\n");
            }
        });
        Self { child, log }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the process has already ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        // The storage process ends by itself within seconds, and writes until then.
        let _all = self.log.iter().count();
    }
}

/// A running agent with its own history.
pub struct Agent {
    running: Running,
    address: String,
    dir: TempDir,
}

impl Agent {
    /// Starts an agent with its own directory and default settings.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts an agent with its history in this directory, and with these additional arguments.
    pub fn start_in(dir: TempDir, args: &[&str]) -> Self {
        Self::start_as(gotrace_command([("", ""); 0]), dir, args)
    }

    /// Starts an agent of another build of gotrace in the same way.
    pub fn start_as(gotrace: Command, dir: TempDir, args: &[&str]) -> Self {
        let store = dir.path().join(STORE);
        let store = store.to_str().unwrap();
        let own = ["--listen", "127.0.0.1:0", "--store", store];
        Self::launch_program(gotrace, dir, &[&own[..], args].concat())
    }

    /// Starts an agent with only these arguments. They, or the configuration they name, must place the history in this directory.
    pub fn launch(dir: TempDir, args: &[&str]) -> Self {
        Self::launch_program(gotrace_command([("", ""); 0]), dir, args)
    }

    fn launch_program(mut gotrace: Command, dir: TempDir, args: &[&str]) -> Self {
        let child = gotrace
            .arg("agent")
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut agent = Self {
            running: Running::of(child),
            address: String::new(),
            dir,
        };
        agent.find_address("tracing every Go build");
        agent
    }

    /// Reads the address of the pages from the log line that contains `text`.
    fn find_address(&mut self, text: &str) {
        let line = self.wait_for_log(text);
        let (_, address) = line.split_once("http://").unwrap();
        let (address, _) = address.split_once('/').unwrap();
        address.clone_into(&mut self.address);
    }

    /// Path of its history.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join(STORE)
    }

    /// The directory of the history and of the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Address of its pages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Resident memory of both its processes.
    pub fn resident_kb(&self) -> u64 {
        let of = |pid: &u32| -> u64 {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
            let number = line.and_then(|it| it.split_whitespace().next());
            number.unwrap().parse::<u64>().unwrap()
        };
        self.processes().iter().map(of).sum()
    }

    /// Process id of the observer, which is the process that the test started.
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Process id of the storage process, the observer's child.
    pub fn storage_process(&self) -> Option<u32> {
        let pids = fs::read_dir("/proc").unwrap();
        let mut pids = pids.filter_map(|it| it.unwrap().file_name().to_str()?.parse::<u32>().ok());
        pids.find(|pid| {
            // Other processes can end while they are read.
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let after_name = stat.rsplit_once(") ").map(|(_, it)| it.to_owned());
            let parent = after_name.and_then(|it| it.split(' ').nth(1)?.parse().ok());
            let is_storage_process =
                || read("cmdline").split(|it| *it == 0).nth(1) == Some(b"storage-process");
            parent == Some(self.pid()) && is_storage_process()
        })
    }

    /// Its long-lived processes.
    pub fn processes(&self) -> Vec<u32> {
        [self.pid()]
            .into_iter()
            .chain(self.storage_process())
            .collect()
    }

    /// Kills the storage process, and waits until the observer has started a new one.
    pub fn kill_storage_process(&mut self) {
        signal(self.storage_process().unwrap(), "KILL");
        self.wait_for_new_storage_process();
    }

    /// Waits until a new storage process has replaced the previous one.
    pub fn wait_for_new_storage_process(&mut self) {
        self.find_address("the storage process was restarted");
    }

    /// Reads the log until a line contains `text`; returns that line.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        self.log_until(text).pop().unwrap()
    }

    /// Reads the log until a line contains `text`; returns all lines read.
    pub fn log_until(&mut self, text: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut printed: Vec<String> = Vec::new();
        while !printed.last().is_some_and(|it| it.contains(text)) {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.running.log.recv_timeout(left);
            let line = line.unwrap_or_else(|error| {
                panic!("the agent did not log {text:?} ({error}): {printed:#?}")
            });
            printed.push(line);
        }
        printed
    }

    /// Builds of this module in the history, oldest first; only among the last thousand builds.
    pub fn builds_in(&self, module: &Module) -> Vec<Value> {
        let page = self.page("/api/v1/builds?limit=1000");
        let json: Value = serde_json::from_str(body(&page)).unwrap();
        let builds = json["builds"].as_array().unwrap().iter();
        let dir = module.dir().display().to_string();
        let mut found: Vec<Value> = builds
            .filter(|it| it["dir"].as_str().is_some_and(|it| it.starts_with(&dir)))
            .cloned()
            .collect();
        found.reverse();
        found
    }

    /// Body of a page that it serves.
    pub fn page(&self, path: &str) -> String {
        page(&self.address, path)
    }

    /// Waits until a page contains `text`.
    pub fn wait_for_page(&self, path: &str, text: &str) {
        wait_for_page(&self.address, path, text);
    }

    /// Kills the agent and waits until its storage process has detected this and ended. Returns the directory with the history.
    pub fn kill(self) -> TempDir {
        let Self { running, dir, .. } = self;
        drop(running);
        dir
    }

    /// Ends the agent with a signal that it does not handle, like [`Agent::kill`]. Also returns the exit status and the log.
    pub fn crash(mut self, name: &str) -> (TempDir, ExitStatus, String) {
        self.signal(name);
        let status = self.running.child.wait().unwrap();
        let printed = self.running.log.iter().collect();
        (self.dir, status, printed)
    }

    /// Stops the agent like [`Agent::stop`]; returns the directory with its files.
    pub fn stop_with_dir(mut self) -> TempDir {
        self.terminate();
        self.dir
    }

    /// Stops the agent; also returns the log lines not read before.
    pub fn stop_with_log(mut self) -> (TempDir, String) {
        let printed = self.terminate().join("\n");
        (self.dir, printed)
    }

    /// A listed build as `gotrace show` prints it.
    pub fn shown(&self, build: &Value) -> Value {
        const NO_ENV: [(&str, &str); 0] = [];
        let store = self.store();
        let id = build["id"].as_str().unwrap();
        let args = ["show", id, "--format", "json", "--store"];
        let output = run_gotrace(args.into_iter().chain([store.to_str().unwrap()]), NO_ENV);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the module has this many finished builds.
    pub fn wait_for(&self, module: &Module, n: usize) -> Vec<Value> {
        self.wait_until(module, |n_ended, _| n_ended >= n)
    }

    /// Waits until the module has this many finished builds and no running build.
    pub fn wait_for_all(&self, module: &Module, n: usize) -> Vec<Value> {
        self.wait_until(module, |n_ended, n_running| n_ended >= n && n_running == 0)
    }

    fn wait_until(&self, module: &Module, is_enough: impl Fn(usize, usize) -> bool) -> Vec<Value> {
        let since = Instant::now();
        loop {
            let found = self.builds_in(module);
            let n_ended = found.iter().filter(|it| it["state"] != "running").count();
            if is_enough(n_ended, found.len() - n_ended) {
                return found;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{n_ended} ended: {found:#?}\n{}",
                self.page("/metrics")
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Stops the agent as a service manager does; returns its last log line.
    pub fn stop(mut self) -> String {
        self.terminate().pop().unwrap_or_default()
    }

    /// Sends SIGTERM and waits; returns the log lines.
    fn terminate(&mut self) -> Vec<String> {
        self.signal("TERM");
        let running = &mut self.running;
        let lines = running.log.iter();
        let printed: Vec<String> = lines.map(|it| it.trim_end().to_owned()).collect();
        let status = running.child.wait().unwrap();
        assert!(status.success(), "{status}: {printed:?}");
        printed
    }
}

/// Sends the signal with this name.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Body of a page that this address serves.
pub fn page(address: &str, path: &str) -> String {
    let answer = ask(address, path);
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}

/// The response with its head, whatever its status.
pub fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until a page at this address contains `text`.
pub fn wait_for_page(address: &str, path: &str, text: &str) {
    let since = Instant::now();
    loop {
        let answer = ask(address, path);
        if answer.contains(text) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{path}: no {text:?}: {answer}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn body(page: &str) -> &str {
    page.split_once("\r\n\r\n").unwrap().1
}
