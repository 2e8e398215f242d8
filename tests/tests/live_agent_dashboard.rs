//! Every panel and every rule, evaluated by a real Prometheus that scrapes a real agent. Two versions of Go build a program in turn, as a
//! matrix does, and one build fails. Needs root.
#![cfg(test)]

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::agent::{Agent, ask};
use tests::dashboard::{self, PanelQuery};
use tests::otlp::free_address;
use tests::{Module, toolchain};

const PATIENCE: Duration = Duration::from_mins(1);
const ROUNDS: usize = 3;

/// A running Prometheus, which ends with the test.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes the agent every second, and evaluates the rules as often.
    fn start(agent: &Agent) -> Self {
        let dir = agent.dir();
        let config = dir.join("prometheus.yml");
        let rules = dashboard::files().join("rules.yaml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n- job_name: gotrace\n  static_configs: [{{targets: ['{}']}}]\n",
            rules.display(),
            agent.address(),
        );
        fs::write(&config, text).unwrap();
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("no prometheus: `cargo xtask test` installs it");
        Self { child, address }
    }

    /// `None` until it answers.
    fn get(&self, path: &str) -> Option<Value> {
        std::net::TcpStream::connect(self.address).ok()?;
        let answer = ask(&self.address.to_string(), path);
        let (_, body) = answer.split_once("\r\n\r\n")?;
        // The body may be chunked.
        let json = body.get(body.find('{')?..=body.rfind('}')?)?;
        let answer: Value = serde_json::from_str(json).ok()?;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        Some(answer["data"].clone())
    }

    /// The result of a query: one series for each element.
    fn query(&self, expr: &str) -> Option<Vec<Value>> {
        let encoded: Vec<String> = expr.bytes().map(|it| format!("%{it:02x}")).collect();
        let encoded = encoded.concat();
        let data = self.get(&format!("/api/v1/query?query={encoded}"))?;
        Some(data["result"].as_array()?.clone())
    }

    fn wait_for(&self, expr: &str) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let found = self.query(expr).unwrap_or_default();
            if !found.is_empty() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "no data: {expr}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

fn check_panel(prometheus: &Prometheus, query: &PanelQuery) {
    let PanelQuery {
        panel,
        expr,
        legend,
    } = query;
    let found = prometheus.wait_for(expr);
    let mut labels: Vec<&str> = legend.split("{{").skip(1).collect();
    for label in &mut labels {
        *label = label.split("}}").next().unwrap();
    }
    for series in &found {
        for label in &labels {
            let value = series["metric"][label].as_str().unwrap_or_default();
            assert!(!value.is_empty(), "{panel}: no {label} in {series}");
        }
    }
}

#[test]
fn every_panel_has_data_and_alternating_versions_raise_no_alert() {
    let agent = Agent::start_in(tempfile::tempdir().unwrap(), &["--size-budget", "+1%"]);
    let prometheus = Prometheus::start(&agent);
    prometheus.wait_for("gotrace_self_test_success == 1");
    let module = Module::copy("tiny");
    let versions = ["1.26", "1.27"].map(toolchain);
    for toolchain in &versions {
        module.sandbox.make_warm(toolchain);
    }
    for round in 0..ROUNDS {
        for (n, toolchain) in versions.iter().enumerate() {
            module.run_go(toolchain, &["build", "-o", "out", "."]);
            agent.wait_for_all(&module, round * versions.len() + n + 1);
            // Several builds may end between two scrapes.
            let size = fs::metadata(module.dir().join("out")).unwrap().len();
            let expr =
                format!("go_build_binary_size_bytes{{project=\"example.com/tiny\"}} == {size}");
            prometheus.wait_for(&expr);
        }
    }
    let [_, newest] = &versions;
    module.write("broken.go", "package main\n\nfunc init() { undefined() }\n");
    let mut broken = module.go(newest, &["build", "-o", "out", "."]);
    assert!(!broken.output().unwrap().status.success());

    // A new counter is 0 for the first scrapes.
    prometheus.wait_for("increase(go_build_builds_total{failure=\"compile\"}[1m]) > 0.9");
    let queries = dashboard::queries("1m", agent.address());
    for query in &queries {
        check_panel(&prometheus, query);
    }
    let versions = queries.iter().find(|it| it.panel == "Builds by Go version");
    let found = prometheus.wait_for(&versions.unwrap().expr);
    assert!(found.len() >= 2, "{found:?}");

    let sizes = prometheus.wait_for(
        "max_over_time(go_build_binary_size_bytes{project=\"example.com/tiny\"}[1h]) > min_over_time(go_build_binary_size_bytes[1h])",
    );
    assert_eq!(sizes.len(), 1, "the versions differ in size");
    prometheus.wait_for("go_build_binary_size_threshold_bytes{project=\"example.com/tiny\"}");
    let rules = prometheus.get("/api/v1/rules").unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: Vec<&Value> = groups
        .flat_map(|it| it["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 10, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        // An alert is a fact about all builds of the machine. Only those of this module are checked.
        let alerts = rule["alerts"].as_array().into_iter().flatten();
        let mut own = alerts.filter(|it| it["labels"]["project"] == "example.com/tiny");
        assert!(own.next().is_none(), "{rule}");
    }
    agent.stop();
}
