//! OpenTelemetry from a real agent: independent receivers check the data of real builds. Needs root.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::agent::Agent;
use tests::otlp::{Received, Receiver, Reply, decode, free_address};
use tests::{Module, Toolchain, pypi_dir, run_gotrace, toolchain};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NO_ENV: [(&str, &str); 0] = [];

fn agent(otlp: &str) -> Agent {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gotrace.toml");
    let store = dir.path().join("history.db");
    let text = format!("store = {store:?}\nlisten = \"127.0.0.1:0\"\n[otlp]\n{otlp}\n");
    fs::write(&file, text).unwrap();
    Agent::launch(dir, &["--config", file.to_str().unwrap()])
}

fn module(toolchain: &Toolchain) -> Module {
    let module = Module::copy("wasm");
    module.sandbox.make_warm(toolchain);
    module
}

fn build(module: &Module, toolchain: &Toolchain, output: &str, env: &[(&str, &str)]) {
    let mut go = module.go(toolchain, &["build", "-o", output, "."]);
    let output = go.envs(env.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

fn id(of: &Value) -> &str {
    text(&of["attributes"], "go.build.id")
}

fn has_record_of(requests: &[Received], build: &str) -> bool {
    let build = build.as_bytes();
    requests
        .iter()
        .filter(|it| it.path == "/v1/logs")
        .any(|it| it.body.windows(build.len()).any(|it| it == build))
}

/// The build as `gotrace show` prints it.
fn shown(agent: &Agent, build: &str) -> Value {
    let store = agent.store();
    let args = ["show", build, "--format", "json", "--store"];
    let output = run_gotrace([&args[..], &[store.to_str().unwrap()]].concat(), NO_ENV);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Makes five builds: alone, in a foreign trace, in a pipeline, in an unsampled trace, and one that fails.
fn make_builds(module: &Module, new: &Toolchain) {
    build(module, new, "alone", &[]);
    build(
        module,
        new,
        "child",
        &[("TRACEPARENT", PARENT), ("TRACESTATE", "a=1")],
    );
    let run = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "example/project"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_RUN_ID", "14460881260"),
        ("GITHUB_RUN_ATTEMPT", "13"),
    ];
    build(module, new, "pipeline", &run);
    let unsampled = PARENT.replace("-01", "-00");
    build(module, new, "unsampled", &[("TRACEPARENT", &unsampled)]);
    module.write(
        "broken.go",
        "package main\n\nvar broken int = \"no number\"\n",
    );
    let broken = module.go(new, &["build", "."]).output().unwrap();
    assert!(!broken.status.success());
}

#[test]
fn a_receiver_gets_the_builds_as_the_history_stores_them() {
    let receiver = Receiver::start(|_, _| Reply::ok());
    let agent = agent(&format!(
        "endpoint = \"http://{}\"\nheaders = {{ x-tenant = \"builds\" }}\ncompression = \"none\"\nspans_per_build = 10000\ncached_actions = true\nparent = \"ci\"",
        receiver.address()
    ));
    let new = toolchain("1.27");
    let module = module(&new);
    make_builds(&module, &new);
    let builds = agent.wait_for(&module, 5);
    let ids: Vec<&str> = builds.iter().map(|it| text(it, "id")).collect();
    receiver.wait_for(|it| ids.iter().all(|id| has_record_of(it, id)));
    let page = agent.page("/metrics");
    let exemplars = openmetrics(agent.address());
    let whole: Vec<Value> = ids.iter().map(|it| shown(&agent, it)).collect();
    agent.stop();
    let requests = receiver.received();
    for request in &requests {
        assert_eq!(request.header("x-tenant"), Some("builds"));
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
    }
    let items = decode(&requests);
    let of = |path: &str, id_of_build: &str| -> Vec<&Value> {
        let found = items.iter().filter(|it| it["path"] == path);
        found.filter(|it| id(it) == id_of_build).collect()
    };
    // Each build arrives once, as a span and as a record with its id.
    let mut roots = Vec::new();
    for (id, whole) in ids.iter().zip(&whole) {
        let [record] = of("/v1/logs", id)[..] else {
            panic!("{id} does not have exactly one record")
        };
        let severity = match text(&whole["build"], "state") {
            "succeeded" => ("INFO", 9),
            other => (if other == "failed" { "ERROR" } else { other }, 17),
        };
        let told_severity = (text(record, "severity"), record["number"].as_i64());
        assert_eq!(told_severity, (severity.0, Some(severity.1)));
        assert!(
            text(record, "body").starts_with("go build of example.com/"),
            "{record}"
        );
        let spans = of("/v1/traces", id);
        if record["flags"] == 0 {
            assert!(spans.is_empty());
            continue;
        }
        let [root] = spans[..] else {
            panic!("{id} does not have exactly one span")
        };
        assert_eq!(
            (&root["trace"], &root["span"]),
            (&record["trace"], &record["span"])
        );
        let names = check_tree(&items, root, &whole["trace"]);
        if roots.is_empty() {
            // The cache does not contain the first build.
            assert!(names.contains_key("fe:parse") && names.contains_key("deadcode"));
        }
        roots.push(root);
    }
    let [alone, child, pipeline, broken] = roots[..] else {
        panic!("{} root spans", roots.len())
    };
    assert_eq!(text(alone, "trace"), ids[0].replace('-', ""));
    assert_eq!(text(alone, "parent"), "");
    assert_eq!(text(child, "trace"), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(text(child, "parent"), "b7ad6b7169203331");
    assert_eq!(
        (text(child, "state"), &child["flags"]),
        ("a=1", &0x301.into())
    );
    // The expected ids are those in the receiver's own tests for GitHub.
    assert_eq!(text(pipeline, "trace"), "731ec8a47fd7450f753a812a4a8aa5a0");
    assert_eq!(text(pipeline, "parent"), "aba151af7cfbcf0f");
    let resource = &pipeline["resource"];
    assert_eq!(
        text(resource, "vcs.repository.url.full"),
        "https://github.com/example/project"
    );
    assert_eq!(text(resource, "cicd.pipeline.run.id"), "14460881260");
    assert_eq!(broken["status"], 2);
    assert_eq!(text(&broken["attributes"], "error.type"), "compile");
    // The exemplar is the last build in each latency bucket.
    assert!(exemplars.contains(&format!("trace_id=\"{}\"", text(broken, "trace"))));
    assert!(
        !exemplars.contains(&ids[3].replace('-', "")),
        "it is not sampled"
    );
    check_metrics(&items, &page);
}

/// Checks the descendants of this span, which are the parts of the build.
fn check_tree(items: &[Value], root: &Value, trace: &Value) -> BTreeMap<String, usize> {
    let build = &trace["builds"][0];
    let start = build["start"].as_i64().unwrap() + trace["boot_to_wall_ns"].as_i64().unwrap();
    assert_eq!(root["start"], start);
    assert_eq!(text(root, "name"), "go build");
    let list = |of: &Value, name: &str| of[name].as_array().unwrap().clone();
    let (events, outputs) = (list(root, "events"), list(build, "outputs"));
    assert_eq!(events.len(), outputs.len());
    for (event, output) in events.iter().zip(&outputs) {
        let (items, artifact) = (&event["attributes"], &output["artifact"]);
        assert_eq!(items["artifact.hash"], artifact["sha256"]);
        assert_eq!(items["go.build.artifact.size_bytes"], artifact["size"]);
    }
    let spans = items.iter().filter(|it| it["trace"] == root["trace"]);
    let mut below: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for span in spans.filter(|it| it["path"] == "/v1/traces") {
        below.entry(text(span, "parent")).or_default().push(span);
    }
    let mut found = BTreeMap::new();
    let mut next = vec![root];
    let mut ids = BTreeSet::new();
    while let Some(span) = next.pop() {
        assert!(ids.insert(text(span, "span")), "duplicate id: {span}");
        for inner in below.get(text(span, "span")).into_iter().flatten() {
            let is_within = |name: &str| inner[name].as_u64().unwrap();
            let outer = |name: &str| span[name].as_u64().unwrap();
            assert!(outer("start") <= is_within("start") && is_within("end") <= outer("end"));
            let name = text(inner, "name").to_owned();
            *found.entry(name).or_insert(0_usize) += 1;
            next.push(inner);
        }
    }
    let calls = list(build, "calls");
    let calls = calls.iter().filter(|it| it["is_query"] == false);
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |name: &Value| {
        *expected
            .entry(name.as_str().unwrap().to_owned())
            .or_insert(0) += 1;
    };
    for stage in list(build, "stages") {
        count(&stage["name"]);
    }
    for action in list(build, "actions") {
        count(&action["mode"]);
    }
    for call in calls {
        count(&call["kind"]);
        for phase in list(call, "phases") {
            count(&phase["name"]);
        }
    }
    assert_eq!(found, expected);
    found
}

/// The last metrics sent equal the page, number by number.
fn check_metrics(items: &[Value], page: &str) {
    let metrics = items.iter().filter(|it| it["path"] == "/v1/metrics");
    let by_name: BTreeMap<&str, &Value> = metrics.map(|it| (text(it, "name"), it)).collect();
    let builds = by_name["go_build_builds_total"];
    assert_eq!(
        (text(builds, "kind"), &builds["monotonic"]),
        ("sum", &true.into())
    );
    let total: f64 = points(builds)
        .iter()
        .filter_map(|it| it["value"].as_f64())
        .sum();
    let mut n = 0.0;
    for line in page
        .lines()
        .filter(|it| it.starts_with("go_build_builds_total{"))
    {
        n += line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    }
    // Other builds on the machine can end between the two reads.
    assert!(total >= n && n >= 5.0, "{total} {n}");
    let durations = by_name["go_build_duration_seconds"];
    assert_eq!(
        (text(durations, "unit"), text(durations, "kind")),
        ("s", "histogram")
    );
    for point in points(durations) {
        let buckets = point["buckets"].as_array().unwrap();
        let sum: u64 = buckets.iter().filter_map(Value::as_u64).sum();
        assert_eq!(point["count"], sum);
        assert!(point["start"].as_u64().unwrap() > 0);
    }
    let on_page = page.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    for family in on_page.filter_map(|it| it.split(' ').next()) {
        assert!(by_name.contains_key(family), "{family} was not sent");
    }
}

/// The page with exemplars.
fn openmetrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_mins(2));
    stream.set_read_timeout(limit).unwrap();
    let accept = "application/openmetrics-text;version=1.0.0";
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    answer
}

fn points(metric: &Value) -> &[Value] {
    metric["points"].as_array().unwrap()
}

#[test]
fn a_hanging_receiver_is_counted_and_loses_no_build() {
    let receiver = Receiver::start(|_, _| Reply::Never);
    let agent = agent(&format!(
        "endpoint = \"http://{}\"\nmetrics = false",
        receiver.address()
    ));
    let new = toolchain("1.27");
    let module = module(&new);
    for output in ["one", "two", "three"] {
        build(&module, &new, output, &[]);
    }
    let builds = agent.wait_for(&module, 3);
    assert!(
        builds.iter().all(|it| it["state"] == "succeeded"),
        "{builds:#?}"
    );
    receiver.wait_for(|it| !it.is_empty());
    let page = agent.page("/metrics");
    let waiting = page
        .lines()
        .find(|it| it.starts_with("gotrace_queue_length{queue=\"otlp\"}"));
    assert!(waiting.is_some(), "{page}");
    let mut agent = agent;
    agent.signal("TERM");
    agent.wait_for_log("otlp: ");
    agent.wait_for_log(" builds stored");
}

/// A running independent collector, which ends with the test.
struct Rotel(Child);

impl Drop for Rotel {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_real_collector_accepts_the_data() {
    let address = free_address();
    let dir = tempfile::tempdir().unwrap();
    let mut rotel = Command::new(pypi_dir().join("rotel/rotel-agent"))
        .args(["start", "--exporter", "blackhole"])
        .args(["--debug-log", "traces", "--debug-log", "logs"])
        .args([
            "--debug-log",
            "metrics",
            "--debug-log-verbosity",
            "detailed",
        ])
        .args(["--otlp-http-endpoint", &address.to_string()])
        .args(["--otlp-grpc-endpoint", &free_address().to_string()])
        .arg("--pid-file")
        .arg(dir.path().join("pid"))
        .arg("--log-file")
        .arg(dir.path().join("log"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("no rotel: run `cargo xtask setup`, which installs it");
    let stdout = rotel.stdout.take().unwrap();
    let _rotel = Rotel(rotel);
    let (lines, printed) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let agent = agent(&format!(
        "endpoint = \"http://{address}\"\nmetrics_interval_seconds = 1"
    ));
    let new = toolchain("1.27");
    let module = module(&new);
    build(&module, &new, "one", &[("TRACEPARENT", PARENT)]);
    let builds = agent.wait_for(&module, 1);
    let span = text(&builds[0], "id").replace('-', "").split_off(16);
    let body = format!("of {} succeeded", text(&builds[0], "project"));
    let mut wanted = BTreeSet::from([
        "Trace ID       : 0af7651916cd43dd8448eb211c80319c".to_owned(),
        "Parent ID      : b7ad6b7169203331".to_owned(),
        format!("ID             : {span}"),
        body,
        "Name: go_build_builds_total".to_owned(),
    ]);
    let mut all = String::new();
    while !wanted.is_empty() {
        let line = printed.recv_timeout(Duration::from_mins(2));
        let line = line.unwrap_or_else(|_| panic!("{wanted:?} not in {all}"));
        wanted.retain(|it| !line.contains(it.as_str()));
        all.push_str(&line);
        all.push('\n');
    }
    agent.stop();
}

#[test]
fn a_reload_switches_to_another_receiver() {
    let [first, second] = [(); 2].map(|()| Receiver::start(|_, _| Reply::ok()));
    let mut agent = agent(&format!(
        "endpoint = \"http://{}\"\ncompression = \"none\"",
        first.address()
    ));
    let new = toolchain("1.27");
    let module = module(&new);
    build(&module, &new, "before", &[]);
    let before = agent.wait_for(&module, 1);
    let before = before[0]["id"].as_str().unwrap();
    first.wait_for(|requests| has_record_of(requests, before));

    let file = agent.dir().join("gotrace.toml");
    let text = fs::read_to_string(&file).unwrap();
    let [old, other] = [&first, &second].map(|it| it.address().to_string());
    fs::write(&file, text.replace(&old, &other)).unwrap();
    agent.signal("HUP");
    agent.wait_for_log("configuration reloaded");
    build(&module, &new, "after", &[]);
    let after = agent.wait_for(&module, 2);
    let after = after[1]["id"].as_str().unwrap();
    second.wait_for(|requests| has_record_of(requests, after));
    assert!(!has_record_of(&first.received(), after));
    agent.stop();
}
