//! Two hundred secrets in a build's environment, command line, settings, files and names. gotrace writes, shows and sends no
//! secret. Needs root.
#![cfg(test)]

mod builds;
mod crash;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tests::agent::Agent;
use tests::figures::print_figure;
use tests::otlp::{Receiver, Reply};
use tests::{Module, gotrace_command, toolchain};
use tracer_core::history::unpack;

use builds::{builds, go, module};

/// All planted secrets.
#[derive(Default)]
struct Planted(RefCell<Vec<String>>);

impl Planted {
    /// Plants a new secret, with letters and digits that occur nowhere else.
    fn plant(&self) -> String {
        self.plant_as("")
    }

    fn plant_as(&self, prefix: &str) -> String {
        let mut all = self.0.borrow_mut();
        let n = u64::try_from(all.len()).unwrap();
        let [a, b, c] = [1, 2, 3].map(|part| pseudo_random(n * 3 + part));
        let random = format!("{a:016x}{b:016x}{c:016x}");
        let secret = format!("{prefix}{}", &random[..36]);
        all.push(random[..36].to_owned());
        secret
    }

    fn n(&self) -> usize {
        self.0.borrow().len()
    }

    fn assert_absent(&self, text: &[u8], place: &str) {
        let text = String::from_utf8_lossy(text);
        for secret in self.0.borrow().iter() {
            if let Some((before, after)) = text.split_once(secret.as_str()) {
                let before: String = before.chars().rev().take(120).collect();
                let before: String = before.chars().rev().collect();
                let after: String = after.chars().take(40).collect();
                panic!("{place}: {before}{secret}{after}");
            }
        }
    }

    fn assert_absent_in(&self, output: &Output, place: &str) {
        self.assert_absent(&output.stdout, place);
        self.assert_absent(&output.stderr, place);
    }

    /// Checks every file below a directory.
    fn assert_absent_below(&self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            self.assert_absent(path.as_os_str().as_bytes(), "a file's name");
            if entry.file_type().unwrap().is_dir() {
                self.assert_absent_below(&path);
            } else {
                self.assert_absent(&fs::read(&path).unwrap(), &path.display().to_string());
            }
        }
    }
}

impl Planted {
    /// Checks every text and every stored build of a history.
    fn assert_absent_in_history(&self, store: &Path) {
        let history = Connection::open(store).unwrap();
        let tables: Vec<String> = history
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .unwrap()
            .query_map((), |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(tables.iter().any(|it| it == "detail"), "{tables:?}");
        let mut n_unpacked = 0;
        for table in tables {
            let mut all = history.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let names: Vec<String> = all.column_names().into_iter().map(str::to_owned).collect();
            let mut rows = all.query(()).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for (n, name) in names.iter().enumerate() {
                    let place = format!("{table}.{name}");
                    let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = row.get_ref(n).unwrap()
                    else {
                        continue;
                    };
                    self.assert_absent(bytes, &place);
                    if place == "detail.packed" {
                        let trace = serde_json::to_vec(&unpack(bytes).unwrap()).unwrap();
                        assert!(trace.len() > 1000, "{place}");
                        self.assert_absent(&trace, &place);
                        n_unpacked += 1;
                    }
                }
            }
        }
        assert!(n_unpacked > 0, "no build is stored");
    }
}

/// A pseudo-random number (`SplitMix64`).
fn pseudo_random(n: u64) -> u64 {
    let mut it = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

/// Runs the build as a user would: gotrace and its arguments before the build's command.
fn under_gotrace(args: &[&OsStr], module: &Module, go: &Command) -> Output {
    let env = go
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let output = gotrace_command(env)
        .args(args)
        .arg("--")
        .arg(go.get_program())
        .args(go.get_args())
        .current_dir(module.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// The decompressed content of a recording.
fn unpacked(recording: &Path) -> Vec<u8> {
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(recording)
        .output()
        .unwrap();
    assert!(unpacked.status.success() && unpacked.stdout.len() > 1000);
    unpacked.stdout
}

#[test]
fn no_secret_of_a_build_is_stored_shown_or_sent() {
    let planted = Planted::default();
    let receiver = Receiver::start(|_, _| Reply::ok());
    let gateway = Receiver::start(|_, _| Reply::ok());
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gotrace.toml");
    let textfile = dir.path().join("textfile");
    fs::create_dir(&textfile).unwrap();
    let text = format!(
        "detail = \"cache-key\"\n[otlp]\nendpoint = \"http://{}\"\ncompression = \"none\"\ncommand_lines = true\n\
         [pushgateway]\nurl = \"http://{}\"\n[textfile]\ndirectory = {textfile:?}\nevery_seconds = 1\n",
        receiver.address(),
        gateway.address(),
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let agent = Agent::start_in(dir, &["--config", &config]);
    let toolchain = toolchain("1.27");
    let module = module(&planted, &toolchain);
    let all = builds(&planted);
    assert!(planted.n() >= 200, "{}", planted.n());
    for build in &all {
        let output = go(&module, &toolchain, build).output().unwrap();
        assert!(output.status.success(), "{:?}: {output:?}", build.args);
    }
    let found = agent.wait_for(&module, all.len());
    assert_eq!(found.len(), all.len());
    for page in ["/metrics", "/api/v1/builds?limit=1000"] {
        planted.assert_absent(agent.page(page).as_bytes(), page);
    }
    let store = agent.store();
    let n_anomalies = found.iter().filter(|it| it["anomalies"] != 0).count();
    assert!(n_anomalies < found.len(), "no build is complete");
    for format in ["text", "json"] {
        for build in &found {
            let id = build["id"].as_str().unwrap();
            let page = agent.page(&format!("/api/v1/builds/{id}"));
            planted.assert_absent(page.as_bytes(), "a build's page");
            let shown = gotrace_command([("", ""); 0])
                .args(["show", id, "--format", format, "--store"])
                .arg(&store)
                .output()
                .unwrap();
            assert!(
                shown.status.success() && shown.stdout.len() > 200,
                "{shown:?}"
            );
            planted.assert_absent_in(&shown, "show");
        }
    }
    let sent = receiver.wait_for(|it| it.iter().filter(|it| it.path == "/v1/logs").count() > 5);
    assert!(sent.iter().any(|it| it.path == "/v1/traces"));
    gateway.wait_for(|it| !it.is_empty());
    agent.wait_for_page("/metrics", "go_build_builds_total{");
    let (dir, printed) = agent.stop_with_log();
    planted.assert_absent(printed.as_bytes(), "the agent's log");
    planted.assert_absent_in_history(&store);
    for request in receiver.received().iter().chain(&gateway.received()) {
        planted.assert_absent(&request.body, &request.path);
        planted.assert_absent(request.path.as_bytes(), "an address");
    }
    assert!(fs::read_dir(&textfile).unwrap().count() > 0);
    planted.assert_absent_below(dir.path());
    print_figure(
        "planted secrets, under an agent",
        format!("{} secrets, {} builds", planted.n(), all.len()),
        "found 0 in history, pages, metrics, text file, traces, logs, pushes and log",
    );
}

#[test]
fn run_and_record_print_no_secret() {
    let planted = Planted::default();
    let toolchain = toolchain("1.27");
    let module = module(&planted, &toolchain);
    let all = builds(&planted);
    let out = tempfile::tempdir().unwrap();
    let recording = out.path().join("recording.jsonl.gz");
    let metrics = out.path().join("metrics.prom");
    for (n, build) in all.iter().enumerate() {
        let go = go(&module, &toolchain, build);
        if n % 2 == 0 {
            let args = [
                OsStr::new("record"),
                OsStr::new("-o"),
                recording.as_os_str(),
            ];
            planted.assert_absent_in(&under_gotrace(&args, &module, &go), "record");
            planted.assert_absent(&unpacked(&recording), "a recording");
        } else {
            let args = [
                "run",
                "--detail",
                "cache-key",
                "--format",
                "json",
                "--metrics",
            ]
            .map(OsStr::new);
            let args = [&args[..], &[metrics.as_os_str()]].concat();
            planted.assert_absent_in(&under_gotrace(&args, &module, &go), "run");
            planted.assert_absent(&fs::read(&metrics).unwrap(), "the metrics of a run");
        }
    }
    print_figure(
        "planted secrets, under run and record",
        format!("{} secrets, {} builds", planted.n(), all.len()),
        "found 0 in output, JSON, recordings and metrics",
    );
    assert!(planted.n() >= 200, "{}", planted.n());
}

/// A test's arguments and the variable that it reads stay with the test, although Go reads that variable to decide whether to run
/// it again.
#[test]
fn no_value_that_a_test_reads_is_traced() {
    let planted = Planted::default();
    let toolchain = toolchain("1.27");
    let module = module(&planted, &toolchain);
    module.write(
        "main_test.go",
        "package main\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n\
         func TestNote(t *testing.T) {\n\tif len(os.Getenv(\"MY_BUILD_NOTE\")) != 36 {\n\t\tt.Fatal(\"no note\")\n\t}\n}\n",
    );
    let out = tempfile::tempdir().unwrap();
    let recording = out.path().join("recording.jsonl.gz");
    let record = ["record", "-o"].map(OsStr::new);
    let record = [&record[..], &[recording.as_os_str()]].concat();
    for name_of_variable in [None, Some("password")] {
        let mut go = module.go(&toolchain, &["test", "."]);
        go.env("MY_BUILD_NOTE", planted.plant());
        if let Some(name) = name_of_variable {
            go.arg("-args").arg(format!("{name}={}", planted.plant()));
        }
        // On the second run Go has a cached result, and reads the variable to validate it. Go caches no test that has arguments.
        for n in 0..2 {
            planted.assert_absent_in(&under_gotrace(&record, &module, &go), "record");
            let recorded = unpacked(&recording);
            let is_asked_for = n == 1 && name_of_variable.is_none();
            assert!(!is_asked_for || String::from_utf8_lossy(&recorded).contains("MY_BUILD_NOTE"));
            planted.assert_absent(&recorded, "a recording");
        }
        for detail in ["process", "phase", "cache-key"] {
            go.env("MY_BUILD_NOTE", planted.plant());
            for _ in 0..2 {
                let args = ["run", "--detail", detail, "--format", "json"].map(OsStr::new);
                let output = under_gotrace(&args, &module, &go);
                let n = output.stdout.len() + output.stderr.len();
                assert!(n > 1000, "{output:?}");
                planted.assert_absent_in(&output, detail);
            }
        }
    }
    print_figure(
        "planted secrets, in tests",
        format!("{} secrets", planted.n()),
        "found 0 in output, JSON and recordings",
    );
}
