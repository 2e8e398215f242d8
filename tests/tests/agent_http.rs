//! The agent's pages over a real socket. Builds come from the recordings; Prometheus and promtool check the pages. Needs no root.
#![cfg(test)]

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;
use tracer_core::origin::TraceId;
use tracer_user::agent::http::{Readiness, Rules, Served, Server};
use tracer_user::agent::metrics::{Format, Metrics, Reader};
use tracer_user::history::{self, ReadPool, StoredCounters};

const DECADES: Duration = Duration::from_hours(24 * 365 * 60);
const RECORDINGS: [&str; 4] = [
    "build-go1.27",
    "compile-error-go1.27",
    "cgo-go1.27",
    "generate-go1.27",
];
/// The Accept header of a scraping Prometheus.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5";

/// Reads all real values.
const LAST: Reader = Reader::File {
    at: Duration::ZERO,
    is_last: true,
};

fn replayed(name: &str) -> Trace {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recordings/{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tracer_user::driver::replay(BufReader::new(file))
        .unwrap()
        .trace
}

fn some_trace() -> Option<TraceId> {
    TraceId::new([0x5a; 16])
}

struct Agent {
    dir: TempDir,
    served: Arc<Served>,
    server: Server,
}

impl Agent {
    fn start(traces: &[Trace]) -> Self {
        let dir = TempDir::new().unwrap();
        let store = dir.path().join("history.db");
        let metrics = Metrics::new(DECADES).unwrap();
        for trace in traces {
            history::store_builds(&FinishedTrace::of(trace.clone()), &store).unwrap();
            metrics
                .observe(&FinishedTrace::of(trace.clone()), &|_| some_trace())
                .unwrap();
        }
        let served = Arc::new(Served {
            metrics: Arc::new(metrics),
            history: ReadPool::new(&store),
            readiness: Readiness::not_yet("probes are being put on: wait some seconds"),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            dir,
            server: Server::start(listener, Arc::clone(&served), Rules::default()).unwrap(),
            served,
        }
    }

    fn recorded() -> Self {
        Self::start(&RECORDINGS.map(replayed))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    fn ask(&self, method: &str, path: &str, header: &str) -> Answer {
        let mut stream = connect(self.server.address().unwrap());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .expect("an answer with a head and a body");
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"));
        serde_json::from_str(&self.body).unwrap()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream
}

fn promtool(page: &str) {
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

#[test]
fn the_pages_contain_the_expected_data() {
    let agent = Agent::recorded();
    assert_eq!(agent.get("/-/healthy").status, 200);
    let not_ready = agent.get("/-/ready");
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.json()["error"].as_str().unwrap().contains("wait"));
    let limit = "CAP_SYS_PTRACE is missing".to_owned();
    agent.served.readiness.set(Ok(vec![limit]));
    let ready = agent.get("/-/ready");
    let lines = "gotrace follows builds\nlimited: CAP_SYS_PTRACE is missing\n";
    assert_eq!((ready.status, ready.body.as_str()), (200, lines));

    let page = agent.get("/metrics");
    assert!(page.head.contains("text/plain; version=0.0.4"));
    promtool(&page.body);
    let head = agent.ask("HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));

    let all = agent.get("/api/v1/builds").json();
    assert_eq!(all["schema"], "gotrace.builds/v1");
    let failed = agent
        .get("/api/v1/builds?status=failed&since=1970-01-02")
        .json();
    assert_eq!(failed["builds"].as_array().unwrap().len(), 1);
    let id = failed["builds"][0]["id"].as_str().unwrap();
    let one = agent.get(&format!("/api/v1/builds/{id}")).json();
    assert_eq!(one["schema"], "gotrace.build/v1");
    assert_eq!(one["build"]["id"], id);
    let some = agent.get("/api/v1/builds?limit=1").json();
    assert_eq!(some["builds"].as_array().unwrap().len(), 1);
    assert_eq!(some["has_more"], true);
}

#[test]
fn invalid_requests_get_an_error_with_a_remedy() {
    let agent = Agent::recorded();
    for (method, path, status, hint) in [
        ("GET", "/", 404, "/metrics"),
        ("GET", "/api/v1/builds/ffff", 404, "gotrace builds"),
        ("GET", "/api/v1/builds/%00%1b", 400, "hexadecimal"),
        ("GET", "/api/v1/builds?status=good", 400, "use one of"),
        ("GET", "/api/v1/builds?limit=0", 400, "use a number"),
        ("GET", "/api/v1/builds?shell=1", 400, "use project"),
        ("POST", "/metrics", 405, "use GET"),
        ("DELETE", "/api/v1/builds", 405, "use GET"),
    ] {
        let answer = agent.ask(method, path, "");
        assert_eq!(answer.status, status, "{method} {path}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(hint), "{method} {path}: {error}");
        let dir = agent.dir.path().to_str().unwrap();
        assert!(!error.contains(dir), "{error}");
    }
    let large = format!("X-Large: {}\r\n", "x".repeat(20_000));
    assert_eq!(agent.ask("GET", "/metrics", &large).status, 431);
}

#[test]
fn hostile_names_stay_within_bounds() {
    let mut trace = replayed("build-go1.27");
    let mut build = trace.builds[0].clone();
    trace.builds.clear();
    // The names alone matter here.
    build.calls.clear();
    for n in 0..1000 {
        let name = format!(
            "m{n}\"}} 1\n# EOF\ngo_build_evil 1\\\r\u{202e}{}",
            "x".repeat(900)
        );
        build.module = Some(name.clone());
        build.toolchain.goarch = Some(name.clone());
        build.toolchain.version = Some(name);
        trace.builds.push(build.clone());
    }
    let agent = Agent::start(&[]);
    agent
        .served
        .metrics
        .observe(&FinishedTrace::of(trace.clone()), &|_| some_trace())
        .unwrap();
    let text = agent.get("/metrics").body;
    promtool(&text);
    let open = agent.ask("GET", "/metrics", &format!("Accept: {OPENMETRICS}\r\n"));
    for page in [&text, &open.body] {
        assert!(!page.lines().any(|it| it.starts_with("go_build_evil")));
        assert!(!page.chars().any(|it| it.is_control() && it != '\n'));
        let lines = page.lines();
        let builds = lines.filter(|it| it.starts_with("go_build_builds_total{"));
        assert_eq!(builds.count(), 201);
        let lines = page.lines();
        let mut dropped = lines.filter(|it| it.starts_with("gotrace_series_dropped_total{"));
        assert!(
            dropped
                .any(|it| it.ends_with("builds_total\"} 800")
                    || it.ends_with("builds_total\"} 800.0"))
        );
    }
    assert_eq!(open.body.matches("# EOF\n").count(), 1);
}

#[test]
fn targets_survive_a_restart() {
    let traces = RECORDINGS.map(replayed);
    let agent = Agent::start(&traces);
    let again = Metrics::new(DECADES).unwrap();
    let restored = agent
        .served
        .history
        .read(|reader| Ok(again.restore(&StoredCounters::default(), reader, 0)));
    restored.unwrap().unwrap();
    let numbers = |metrics: &Metrics| -> Vec<String> {
        let page = metrics.page(Format::Text, 0, LAST).unwrap();
        let lines = page.lines().filter(|it| {
            [
                "go_build_binary_size_bytes{",
                "go_build_timestamp_seconds{",
                "go_build_info{",
            ]
            .iter()
            .any(|family| it.starts_with(family))
        });
        lines.map(str::to_owned).collect()
    };
    assert!(numbers(&again).len() > 5, "{:?}", numbers(&again));
    assert_eq!(numbers(&agent.served.metrics), numbers(&again));
    let page = again.page(Format::Text, 0, LAST).unwrap();
    assert!(!page.contains("go_build_builds_total{"));
}

#[test]
fn slow_clients_delay_neither_others_nor_the_shutdown() {
    let agent = Agent::recorded();
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(agent.server.address().unwrap());
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(agent.get("/metrics").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(2));
    let begun = Instant::now();
    agent.server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_client_that_never_finishes_its_header_is_disconnected() {
    let agent = Agent::start(&[]);
    let mut stream = connect(agent.server.address().unwrap());
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut rest = Vec::new();
    let begun = Instant::now();
    // A connection reset is accepted too.
    let _reset = stream.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// A running Prometheus, which ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A Prometheus that scrapes the agent every second. Two of them differ in their external labels only.
fn prometheus(agent: &Agent, name: &str) -> (Prometheus, SocketAddr) {
    let dir = agent.dir.path();
    let config = dir.join(format!("{name}.yml"));
    let target = agent.server.address().unwrap();
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, external_labels: {{replica: {name}}}}}\nscrape_configs:\n- job_name: gotrace\n  static_configs: [{{targets: ['{target}']}}]\n"
        ),
    )
    .unwrap();
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join(name).display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--enable-feature=exemplar-storage")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("no prometheus: `cargo xtask test` installs it");
    (Prometheus(child), address)
}

#[test]
fn two_prometheus_servers_count_the_first_failed_build_of_a_project() {
    let agent = Agent::start(&[]);
    let servers = ["a", "b"].map(|name| prometheus(&agent, name));
    for (_, address) in &servers {
        wait_for(|| {
            let answer = query(*address, "/api/v1/query?query=gotrace_build_info")?;
            let is_known = !answer["data"]["result"].as_array()?.is_empty();
            is_known.then_some(())
        });
    }
    let failed = FinishedTrace::of(replayed("compile-error-go1.27"));
    agent.served.metrics.observe(&failed, &|_| None).unwrap();
    for (_, address) in &servers {
        // increase(go_build_builds_total{status="failed"}[1m])
        let path = "/api/v1/query?query=increase(go_build_builds_total%7Bstatus%3D%22failed%22%7D%5B1m%5D)%3E0.9";
        let counted = wait_for(|| {
            let answer = query(*address, path)?;
            let series = answer["data"]["result"].as_array()?.len();
            (series > 0).then_some(series)
        });
        assert_eq!(counted, 1);
    }
}

#[test]
fn a_page_is_compressed_on_request() {
    let agent = Agent::recorded();
    let plain = agent.get("/metrics");
    assert!(!plain.head.contains("content-encoding"), "{}", plain.head);
    assert!(plain.head.contains("vary: accept, accept-encoding"));
    let mut stream = connect(agent.server.address().unwrap());
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    let (head, packed) = answer.split_at(end);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut page = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut page)
        .unwrap();
    assert_eq!(page, plain.body);
    assert!(packed.len() * 5 < page.len(), "{}", packed.len());
}

#[test]
fn a_real_prometheus_scrapes_the_agent() {
    let agent = Agent::recorded();
    let (_prometheus, address) = prometheus(&agent, "a");
    let found = wait_for(|| {
        let answer = query(address, "/api/v1/query?query=go_build_builds_total")?;
        let found = answer["data"]["result"].as_array()?.len();
        (found > 0).then_some(found)
    });
    let page = agent.get("/metrics").body;
    let lines = page.lines();
    let exposed = lines.filter(|it| it.starts_with("go_build_builds_total{"));
    assert_eq!(found, exposed.count());
    let exemplars = wait_for(|| {
        let path =
            "/api/v1/query_exemplars?query=go_build_duration_seconds_bucket&start=0&end=9999999999";
        let answer = query(address, path)?;
        let series = answer["data"].as_array()?;
        (!series.is_empty()).then(|| answer.to_string())
    });
    assert!(exemplars.contains(&"5a".repeat(16)), "{exemplars}");
}

fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "Prometheus has nothing after 30 s"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Uses HTTP 1.0, so the response ends with the connection.
fn query(address: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

#[test]
fn requests_with_a_foreign_host_header_are_refused() {
    let agent = Agent::recorded();
    for (host, status) in [
        ("localhost:10127", "200"),
        ("127.0.0.1:10127", "200"),
        ("evil.example:10127", "421"),
    ] {
        let mut stream = connect(agent.server.address().unwrap());
        write!(
            stream,
            "GET /api/v1/builds HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.contains(status), "{host}: {first}");
        assert_eq!(text.contains("go build"), status == "200", "{text}");
    }
}
