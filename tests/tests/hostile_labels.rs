//! Unlimited and very long names from real builds: more projects and targets than a family has series, with paths of thousands of
//! letters. Metrics for Prometheus, OTLP, pages and JSON stay within their documented sizes.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use serde_json::Value;
use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::otlp::{self, Receiver, Reply};
use tests::{Module, Toolchain, toolchain};

/// More projects than series. Targets exceed their limit only in the long form, because each must be linked.
const PROJECTS: usize = 205;
static TARGETS: LazyLock<usize> = LazyLock::new(|| size(10, 205));
/// Series of a family by `docs/metrics.md`, and the families with another limit.
const SERIES: usize = 200;
const MORE: [(&str, usize); 7] = [
    ("go_build_phase_duration_seconds", 400),
    ("go_build_packages_total", 400),
    ("go_build_project_cpu_seconds_total", 400),
    ("go_build_cache_misses_total", 1000),
    ("go_build_env_drift", 1200),
    ("go_build_binary_section_size_bytes", 3300),
    ("go_build_binary_section_entropy_bits", 3300),
];
/// Maximum length of a label value; by `docs/otlp.md`, of a text and of a request.
const VALUE: usize = 128;
const TEXT: usize = 1024;
const REQUEST: usize = 1 << 20;
/// Clears the screen; reverses the direction of the following text.
const MARK: &str = "\u{1b}[2J\u{202e}";

static LONG: LazyLock<String> = LazyLock::new(|| "x".repeat(5000));

fn is_harmful(character: char) -> bool {
    character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character)
}

/// Series by family, each with its labels as written.
fn series(page: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut families: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for line in page.lines().filter(|it| it.starts_with(['g', 'p'])) {
        let (name, rest) = line.split_once('{').unwrap_or((line, ""));
        // A histogram has one count for each series.
        if name.ends_with("_bucket") || name.ends_with("_sum") {
            continue;
        }
        let name = name.strip_suffix("_count").unwrap_or(name);
        let (labels, _) = rest.rsplit_once('}').unwrap_or_default();
        let values = labels.split("\",").map(|it| {
            let (_, value) = it.split_once("=\"").unwrap_or_default();
            value.trim_end_matches('"').to_owned()
        });
        families
            .entry(name.to_owned())
            .or_default()
            .push(values.collect());
    }
    families
}

/// Makes one build for each project; nothing is linked.
fn build_projects(module: &Module, toolchain: &Toolchain) {
    for n in 0..PROJECTS {
        module.write(
            "go.mod",
            &format!("module p{n}.example/{}\n\ngo 1.19\n", *LONG),
        );
        module.run_go(toolchain, &["build", "./lib"]);
    }
}

/// Builds all targets at once, and one build with every kind of name.
fn build_targets(module: &Module, toolchain: &Toolchain) {
    for n in 0..*TARGETS {
        module.write(
            &format!("cmd/t{n}/main.go"),
            "package main\n\nfunc main() {}\n",
        );
    }
    module.run_go(
        toolchain,
        &["build", "-ldflags=-s -w", "-o", "bin/", "./cmd/..."],
    );
    let tags = format!("-tags={},{MARK}", *LONG);
    let flags = format!("-ldflags=-X 'main.word={MARK}{}'", *LONG);
    let output = format!("{MARK}{}", "o".repeat(200));
    let args = [
        "build",
        "-trimpath",
        &tags,
        &flags,
        "-o",
        &output,
        "./cmd/t0",
    ];
    // A later Go can refuse a tag. That build has the name, too.
    let _refused = module.go(toolchain, &args).output().unwrap();
}

/// Result in the metrics after all outputs are reported: the number without a size, if there are more than series.
fn last_size() -> String {
    match TARGETS.checked_sub(SERIES) {
        Some(n_more) => format!("family=\"go_build_binary_size_bytes\"}} {n_more}\n"),
        None => format!(
            "go_build_binary_size_bytes{{goarch=\"amd64\",goos=\"linux\",project=\"t.example/m\",target=\"t.example/m/cmd/t{}\"}}",
            *TARGETS - 1
        ),
    }
}

fn assert_series_are_few(page: &str) -> (usize, usize) {
    let families = series(page);
    let mut largest = 0;
    for (family, series) in &families {
        let more = MORE.iter().find(|(name, _)| name == family);
        let limit = more.map_or(SERIES, |(_, limit)| *limit);
        // One further series holds everything without a series of its own.
        assert!(series.len() <= limit + 1, "{family}: {}", series.len());
        largest = largest.max(series.len());
        for value in series.iter().flatten() {
            assert!(value.len() <= VALUE, "{family}: {value}");
            assert!(!value.chars().any(is_harmful), "{family}: {value}");
        }
    }
    let other = |family: &str| {
        let is_other = |it: &&Vec<String>| it.iter().all(|it| it == "_other");
        families[family].iter().filter(is_other).count()
    };
    assert_eq!(other("go_build_builds_total"), 1);
    assert_eq!(other("go_build_binary_size_bytes"), 0);
    let full = ["go_build_builds_total", "go_build_binary_size_bytes"];
    for family in full.into_iter().take(if *TARGETS > SERIES { 2 } else { 1 }) {
        assert!(families[family].len() >= SERIES, "{family}");
        let line = format!("gotrace_series_dropped_total{{family=\"{family}\"}} ");
        let dropped = page.lines().find_map(|it| it.strip_prefix(&line));
        assert!(dropped.is_some_and(|it| it != "0"), "{line}{dropped:?}");
    }
    (families.values().map(Vec::len).sum(), largest)
}

/// Calls `check` for every text, except names of attributes.
fn for_each_text(value: &Value, check: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => check(text),
        Value::Array(values) => values.iter().for_each(|it| for_each_text(it, check)),
        Value::Object(fields) => fields.values().for_each(|it| for_each_text(it, check)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn assert_requests_are_bounded(received: &[otlp::Received]) {
    for request in received {
        // The item that reaches the limit is the last one.
        assert!(request.body.len() < 2 * REQUEST, "{}", request.body.len());
    }
    let items = otlp::decode(received);
    let of = |path: &str| items.iter().filter(|it| it["path"] == path).count();
    assert!(of("/v1/logs") > PROJECTS && of("/v1/traces") > PROJECTS);
    let (mut n_long, mut n_marked) = (0, 0);
    for item in &items {
        for_each_text(item, &mut |text| {
            assert!(text.len() <= TEXT, "{} of {item}", text.len());
            assert!(!text.chars().any(is_harmful), "{text:?}");
            n_long += usize::from(text.len() == TEXT);
            n_marked += usize::from(text.contains(r"\u{1b}[2J\u{202e}"));
        });
        let points = item["points"].as_array().map_or(0, Vec::len);
        let limit = MORE.iter().find(|(name, _)| item["name"] == *name);
        assert!(
            points <= limit.map_or(SERIES, |it| it.1) + 1,
            "{}",
            item["name"]
        );
    }
    // The requests contained the names, cut, with all their numbers.
    assert!(n_long > PROJECTS && n_marked > 0, "{n_long}, {n_marked}");
}

#[test]
fn many_and_long_names_stay_within_the_documented_limits() {
    let receiver = Receiver::start(|_, _| Reply::ok());
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gotrace.toml");
    let text = format!(
        "[otlp]\nendpoint = \"http://{}\"\ncompression = \"none\"\ncommand_lines = true\nmetrics_interval_seconds = 1\n",
        receiver.address(),
    );
    fs::write(&config, text).unwrap();
    let agent = Agent::start_in(dir, &["--config", config.to_str().unwrap()]);
    let toolchain = toolchain("1.27");
    let [projects, targets] = ["tiny", "tiny"].map(Module::copy);
    for module in [&projects, &targets] {
        module.sandbox.make_warm(&toolchain);
        module.write("go.mod", "module t.example/m\n\ngo 1.19\n");
        module.write("lib/lib.go", "package lib\n");
    }
    build_targets(&targets, &toolchain);
    build_projects(&projects, &toolchain);
    agent.wait_for(&targets, 2);
    agent.wait_for(&projects, PROJECTS);

    agent.wait_for_page("/metrics", &last_size());
    let (n_series, largest) = assert_series_are_few(&agent.page("/metrics"));
    let list = agent.page("/api/v1/builds?limit=1000").replace("\r\n", "");
    let harmful = list.chars().find(|it| is_harmful(*it) && *it != '\n');
    assert_eq!(harmful, None);
    // The list contains each name once or twice, and does not repeat its parts.
    assert!(list.len() < 4 * PROJECTS * LONG.len(), "{}", list.len());
    agent.stop_with_dir();
    let requests = receiver.received();
    assert_requests_are_bounded(&requests);
    print_figure(
        "many and long names",
        format!(
            "{} builds, {PROJECTS} projects of 5000 letters, {} targets",
            PROJECTS + 2,
            *TARGETS
        ),
        format!(
            "{n_series} series, {largest} of a family at most; {} requests of OTLP, {} bytes the largest",
            requests.len(),
            requests.iter().map(|it| it.body.len()).max().unwrap_or(0)
        ),
    );
}
