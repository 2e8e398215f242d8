//! Names by which a builder attacks a reader's display: terminal sequences, marks that change the direction of text, line breaks,
//! and very long names. No sink delivers them unescaped.
#![cfg(test)]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tests::agent::Agent;
use tests::figures::print_figure;
use tests::otlp::{self, Receiver, Reply};
use tests::{Module, gotrace_command, toolchain};

/// Clears the screen and sets the window title; reverses text; begins a line; ends a C1 string; joins characters; is an invisible
/// tag.
const MARKS: [&str; 6] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "\u{202e}gpj.exe\u{2066}",
    "\n# HELP go_build_owned owned\ngo_build_owned 1\n",
    "\u{9b}31m\u{9c}",
    "a\u{200d}b\u{feff}",
    "\u{e0041}\u{e007f}",
];

/// Variables that gotrace keeps, because they contain a build's origin.
const KEPT: [&str; 8] = [
    "GITHUB_REPOSITORY",
    "GITHUB_REF_NAME",
    "GITHUB_HEAD_REF",
    "GITHUB_WORKFLOW",
    "GITHUB_JOB",
    "GITHUB_RUN_ID",
    "GITHUB_SHA",
    "RUNNER_NAME",
];

/// Returns whether a terminal would interpret or hide the character, except for line ends.
fn is_harmful(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(character, '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

fn assert_harmless(text: &[u8], place: &str) {
    let text = str::from_utf8(text).unwrap_or_else(|error| panic!("{place}: {error}"));
    // HTTP ends its lines in CR LF. gotrace's own colours are not enabled here.
    for line in text.lines() {
        assert!(!line.chars().any(is_harmful), "{place}: {line:?}");
        assert!(!line.starts_with("go_build_owned"), "{place}: {line:?}");
        assert!(
            !line.starts_with("# HELP go_build_owned"),
            "{place}: {line:?}"
        );
    }
}

/// Every text in the value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Decodes with the official Python package. A value that is not a line can begin with any character.
fn assert_sent_harmless(requests: &[otlp::Received]) {
    let items = otlp::decode(requests);
    let mut n_items = 0;
    for text in items.iter().flat_map(texts) {
        let is_harmless = !text.chars().any(|it| is_harmful(it) || it == '\n');
        assert!(is_harmless, "OTLP: {text:?}");
        n_items += usize::from(text.contains(r"\u{1b}[2J"));
    }
    assert!(n_items > 0, "{items:#?}");
}

fn gotrace(args: &[&str]) -> Output {
    let output = gotrace_command([("", ""); 0]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

#[test]
fn hostile_names_do_not_reach_terminals_pages_or_metrics_unescaped() {
    let receiver = Receiver::start(|_, _| Reply::ok());
    let gateway = Receiver::start(|_, _| Reply::ok());
    let dir = tempfile::tempdir().unwrap();
    let textfile = dir.path().join("textfile");
    fs::create_dir(&textfile).unwrap();
    let config = dir.path().join("gotrace.toml");
    let text = format!(
        "[otlp]\nendpoint = \"http://{}\"\ncompression = \"none\"\ncommand_lines = true\n\
         [pushgateway]\nurl = \"http://{}\"\n[textfile]\ndirectory = {textfile:?}\nevery_seconds = 1\n",
        receiver.address(),
        gateway.address(),
    );
    fs::write(&config, text).unwrap();
    let agent = Agent::start_in(dir, &["--config", config.to_str().unwrap()]);
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    module.sandbox.make_warm(&toolchain);
    let mut runs = Vec::new();
    let mut builds = 0;
    for (n, mark) in MARKS.iter().enumerate() {
        let long = format!("{mark}{}", "x".repeat(5000));
        let env: Vec<(&str, &str)> = [("GITHUB_ACTIONS", "true")]
            .into_iter()
            .chain(KEPT.map(|name| (name, if n % 2 == 0 { *mark } else { &long })))
            .collect();
        let output = format!("out{mark}");
        let tags = format!("-tags={}", mark.replace(['\n', ' '], ""));
        let args = ["build", "-o", &output, &tags, "."];
        let mut go = module.go(&toolchain, &args);
        go.envs(env.iter().copied());
        // Go refuses some names, which gives a failed build with the name.
        let _refused = go.output().unwrap();
        let file = format!("main{n}.go");
        module.write(
            &file,
            &format!(
                "package main\n\n//line {}.go:1\nvar x int = \"\"\n",
                mark.replace('\n', "")
            ),
        );
        let mut broken = module.go(&toolchain, &["vet", "."]);
        let _fails = broken.envs(env.iter().copied()).output().unwrap();
        fs::remove_file(module.dir().join(file)).unwrap();
        builds += 2;
        let mut run = Command::new(tests::gotrace());
        run.args(["run", "--"]).arg(&toolchain.go).args(args);
        run.env_clear().envs(module.sandbox.env(&toolchain));
        runs.push(run.envs(env).current_dir(module.dir()).output().unwrap());
    }
    let found = agent.wait_for(&module, 2 * MARKS.len() + runs.len());
    for run in &runs {
        assert_harmless(&run.stderr, "run");
    }
    for page in ["/metrics", "/api/v1/builds?limit=1000", "/"] {
        let answer = tests::agent::ask(agent.address(), page).replace('\r', "");
        assert_harmless(answer.as_bytes(), page);
    }
    let store = agent.store();
    let store = store.to_str().unwrap();
    let mut printed = String::new();
    for format in ["text", "json"] {
        let listed = gotrace(&[
            "builds", "--format", format, "--limit", "0", "--store", store,
        ]);
        assert_harmless(&listed.stdout, "builds");
        for build in &found {
            let id = build["id"].as_str().unwrap();
            let shown = gotrace(&["show", id, "--format", format, "--store", store]);
            assert!(shown.stdout.len() > 200);
            assert_harmless(&shown.stdout, "show");
            printed.push_str(&String::from_utf8_lossy(&shown.stdout));
        }
    }
    // The numbers prove that the sinks delivered the names.
    for number in [r"\u{1b}", r"\u001b", r"\u{202e}", r"\u202e", r"\u009b"] {
        assert!(printed.contains(number), "{number}");
    }
    gateway.wait_for(|it| !it.is_empty());
    receiver.wait_for(|it| it.iter().any(|it| it.path == "/v1/traces"));
    let dir = agent.stop_with_dir();
    assert_sent_harmless(&receiver.received());
    for request in gateway.received() {
        assert_harmless(request.path.as_bytes(), "the address of a push");
    }
    let mut n_files = 0;
    for file in fs::read_dir(dir.path().join("textfile")).unwrap() {
        assert_harmless(&fs::read(file.unwrap().path()).unwrap(), "a text file");
        n_files += 1;
    }
    assert!(n_files > 0);
    print_figure(
        "names with terminal sequences, direction marks, line breaks or great length",
        format!(
            "{} names in {builds} builds",
            MARKS.len() * (KEPT.len() + 3)
        ),
        "delivered unescaped 0: run, builds, show, pages, metrics, text file, OTLP, addresses of pushes",
    );
}
