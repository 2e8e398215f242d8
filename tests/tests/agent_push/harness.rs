//! Traces with current times, the servers, and functions that wait for them.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tracer_core::model::Trace;
use tracer_user::agent::export::Counts;
use tracer_user::agent::export::pushgateway::{Pushgateway, PushgatewaySettings};
use tracer_user::log::Log;

pub(crate) const DAY: Duration = Duration::from_hours(24);
const PATIENCE: Duration = Duration::from_mins(2);

/// A recorded build of one program that ended this many seconds ago.
pub(crate) fn built(seconds_ago: i64) -> Trace {
    let mut trace = recorded("build-go1.27");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = i64::try_from(trace.end.0).unwrap();
    trace.boot_to_wall_ns =
        i64::try_from(now.as_nanos()).unwrap() - end - seconds_ago * 1_000_000_000;
    trace
}

pub(crate) fn recorded(name: &str) -> Trace {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recordings/{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tracer_user::driver::replay(BufReader::new(file))
        .unwrap()
        .trace
}

/// The main package of [`built`].
pub(crate) fn target() -> String {
    let trace = built(0);
    let artifacts = trace.builds.iter().flat_map(|it| &it.outputs);
    let mut targets: Vec<String> = artifacts
        .filter_map(|it| it.artifact.as_ref()?.main_package.clone())
        .collect();
    targets.dedup();
    assert_eq!(targets.len(), 1, "the recording has one target");
    targets.remove(0)
}

/// The output under test, with its directory.
pub(crate) struct Push {
    pub(crate) dir: TempDir,
    pub(crate) output: Pushgateway,
}

impl Push {
    pub(crate) fn to(url: &str, ttl: Duration, tell: fn(&str)) -> Self {
        Self::restart(tempfile::tempdir().unwrap(), url, ttl, tell)
    }

    /// Starts on the files of an earlier agent.
    pub(crate) fn restart(dir: TempDir, url: &str, ttl: Duration, tell: fn(&str)) -> Self {
        let settings = PushgatewaySettings::of(url.parse().unwrap());
        let spool = dir.path().join("spool");
        let output =
            Pushgateway::start(&settings, &spool, ttl, Log::to(move |it| tell(it.message)))
                .unwrap();
        Self { dir, output }
    }

    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(Counts) -> bool) -> Counts {
        wait_for(what, || {
            let counts = self.output.counts();
            is_so(counts).then_some(counts).ok_or(format!("{counts:?}"))
        })
    }

    pub(crate) fn finish(self) -> (Counts, TempDir) {
        let counts = self.output.finish(Instant::now() + PATIENCE);
        (counts, self.dir)
    }

    /// The files on disk, each as text.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path().join("spool")).unwrap();
        files
            .map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap())
            .collect()
    }
}

/// Retries until `ask` succeeds, and fails with its last error.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) => assert!(begun.elapsed() < PATIENCE, "{what}: {why}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A running program, which ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the program on this free address.
    pub(crate) fn start(program: &str, args: &[&str], address: SocketAddr) -> Self {
        let child = Command::new(program)
            .args(args)
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no {program} ({error}): `cargo xtask test` installs it")
            });
        let server = Self { child, address };
        wait_for(program, || {
            TcpStream::connect(address)
                .map(drop)
                .map_err(|it| it.to_string())
        });
        server
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(self.address, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the program has already ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// Uses HTTP 1.0, so the response ends with the connection.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    request(address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

pub(crate) fn request(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .expect("an answer with a head and a body");
    body.to_owned()
}

pub(crate) fn promtool(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("no promtool: `cargo xtask test` installs it (Debian's prometheus)");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let out = promtool.wait_with_output().unwrap();
    let printed = [out.stdout, out.stderr].concat();
    assert!(
        out.status.success() && printed.is_empty(),
        "{}\n{page}",
        String::from_utf8_lossy(&printed)
    );
}
