//! Pages of the registry with the sample traces.

use crate::driver::{Events, SelfTestVerdict};
use expect_test::expect;
use tracer_core::explain::{Place, Reason};
use tracer_core::model::Trace;

use super::*;
use crate::history::StoredCounters;
use crate::render::metrics::family;
use crate::render::sample;

const DAY: Duration = Duration::from_hours(24);

const OF_TARGETS: [&str; 5] = [
    "binary_size_bytes",
    "binary_section_size_bytes",
    "binary_section_entropy_bits",
    "timestamp_seconds",
    "info",
];

fn untraced(_: FinishedBuild<'_>) -> Option<TraceId> {
    None
}

fn page(metrics: &Metrics, format: Format, now_ns: i64) -> String {
    let at = Duration::ZERO;
    let reader = Reader::File { at, is_last: true };
    metrics.page(format, now_ns, reader).unwrap()
}

fn end_ns(trace: &Trace) -> i64 {
    i64::try_from(trace.end.0).unwrap() + trace.boot_to_wall_ns
}

#[test]
fn gauges_of_an_old_target_are_removed_and_its_counters_stay() {
    let trace = sample::cold();
    let metrics = Metrics::new(DAY).unwrap();
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    let day = i64::try_from(DAY.as_nanos()).unwrap();
    let before = page(&metrics, Format::Text, end_ns(&trace) + day - 1_000_000_000);
    for family in OF_TARGETS {
        assert!(
            before.contains(&format!("\ngo_build_{family}{{")),
            "{before}"
        );
    }
    let after = page(&metrics, Format::Text, end_ns(&trace) + day + 1_000_000_000);
    for family in OF_TARGETS {
        assert!(!after.contains(&format!("go_build_{family}{{")), "{after}");
    }
    assert!(after.contains("go_build_builds_total{"), "{after}");
}

#[test]
fn a_target_has_one_live_info() {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    for build in &mut trace.builds {
        build.toolchain.version = Some("go1.99".to_owned());
    }
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    let text = page(&metrics, Format::Text, end_ns(&trace));
    let lines = text.lines().filter(|it| it.starts_with("go_build_info{"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("go1.99"), "{lines:?}");
}

#[test]
fn a_removed_section_has_no_gauge() {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    let sections = |trace: &Trace| -> Vec<String> {
        let text = page(&metrics, Format::Text, end_ns(trace));
        let lines = text
            .lines()
            .filter(|it| it.starts_with("go_build_binary_section_"));
        lines
            .filter_map(|it| it.split("section=\"").nth(1)?.split('"').next())
            .map(str::to_owned)
            .collect()
    };
    let all = [".text", "debug", "other"];
    assert_eq!(sections(&trace), [all, all].concat());
    let artifact = trace.builds[0].outputs[0].artifact.as_mut().unwrap();
    let anatomy = artifact.anatomy.as_mut().unwrap();
    anatomy.sections.truncate(1);
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    assert_eq!(sections(&trace), [".text", ".text"]);
    // An output without an analysis has none either: the values of the previous build do not apply.
    trace.builds[0].outputs[0]
        .artifact
        .as_mut()
        .unwrap()
        .anatomy = None;
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    assert!(sections(&trace).is_empty());
}

#[test]
fn removed_targets_free_their_series() {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    for n in 0..250 {
        let artifact = trace.builds[0].outputs[0].artifact.as_mut().unwrap();
        artifact.main_module = Some(format!("example.com/m{n}"));
        trace.boot_to_wall_ns += i64::try_from(DAY.as_nanos()).unwrap() * 2;
        metrics
            .observe(&FinishedTrace::of(trace.clone()), &untraced)
            .unwrap();
        let text = page(&metrics, Format::Text, end_ns(&trace));
        assert!(text.contains(&format!("go_build_timestamp_seconds{{goarch=\"amd64\",goos=\"linux\",project=\"example.com/m{n}\"")), "{n}");
    }
}

#[test]
fn an_exemplar_stands_in_its_bucket_and_only_with_a_trace() {
    let trace = sample::cold();
    let metrics = Metrics::new(DAY).unwrap();
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    let without = page(&metrics, Format::OpenMetrics, end_ns(&trace));
    assert!(!without.contains("trace_id"), "{without}");
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &|_| {
            TraceId::new([0xab; 16])
        })
        .unwrap();
    let with = page(&metrics, Format::OpenMetrics, end_ns(&trace));
    let lines: Vec<&str> = with.lines().filter(|it| it.contains("trace_id")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let id = "ab".repeat(16);
    assert!(lines[0].starts_with("go_build_duration_seconds_bucket{"));
    assert!(lines[0].contains(&format!(" # {{trace_id=\"{id}\"}} ")));
    assert!(with.ends_with("\n# EOF\n"));
    assert!(with.contains("# TYPE go_build_builds counter"), "{with}");
    assert!(with.contains("# TYPE go_build info"), "{with}");
    let text = page(&metrics, Format::Text, end_ns(&trace));
    assert!(!text.contains("trace_id") && !text.contains("# EOF"));
}

/// The counters of a page.
fn counted(metrics: &Metrics) -> Vec<String> {
    let text = page(metrics, Format::Text, 0);
    let mut is_gauge = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("# TYPE ") {
            is_gauge = line.ends_with(" gauge");
        }
        if line.starts_with("go_build_") && !is_gauge {
            lines.push(line.to_owned());
        }
    }
    lines
}

fn value(line: &str) -> (&str, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    (series, value.parse().unwrap())
}

/// An agent after another one that stored these counters and then these builds.
fn successor(counted: Option<String>, after: &[Trace]) -> Metrics {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut uncounted = Vec::new();
    drop(crate::history::Store::open(&path).unwrap());
    for trace in after {
        crate::history::store_builds(&FinishedTrace::of(trace.clone()), &path).unwrap();
        uncounted.extend(
            FinishedTrace::of(trace.clone())
                .builds()
                .map(|it| it.entry.id.clone()),
        );
    }
    let tally = StoredCounters { counted, uncounted };
    let metrics = Metrics::new(DAY).unwrap();
    crate::history::read(&path, |it| Ok(metrics.restore(&tally, it, 5)))
        .unwrap()
        .unwrap();
    metrics
}

#[test]
fn counters_of_version_1_continue_by_state_and_failure_class() {
    let counter = |status: &str, n: f64| {
        format!(
            r#"{{"labels":{{"command":"build","status":"{status}","project":"p","goos":"o","goarch":"a","go_version":"v"}},"number":{{"counter":{}}}}}"#,
            n.to_bits()
        )
    };
    let buckets: Vec<String> = family::BUILD_SECONDS
        .iter()
        .map(|it| format!("[{},2]", it.to_bits()))
        .collect();
    let histogram = |status: &str| {
        format!(
            r#"{{"labels":{{"command":"build","status":"{status}","project":"p","go_version":"v"}},"number":{{"histogram":{{"sum":{},"count":3,"buckets":[{}]}}}}}}"#,
            2.5_f64.to_bits(),
            buckets.join(",")
        )
    };
    let all = |of: &dyn Fn(&str) -> String| {
        ["success", "failure", "interrupted", "killed", "unknown"]
            .map(of)
            .join(",")
    };
    let text = format!(
        r#"{{"form":1,"since_ns":7,"families":{{"go_build_builds_total":[{}],"go_build_duration_seconds":[{}]}}}}"#,
        all(&|it| counter(it, 5.0)),
        all(&histogram)
    );
    let lines = counted(&successor(Some(text), &[]));
    let of = |name: &str| {
        let lines = lines.iter().filter(|it| it.starts_with(name));
        lines.cloned().collect::<Vec<_>>().join("\n") + "\n"
    };
    expect![[r#"
        go_build_builds_total{command="build",failure="interrupted",go_version="v",goarch="a",goos="o",project="p",status="failed"} 5
        go_build_builds_total{command="build",failure="killed",go_version="v",goarch="a",goos="o",project="p",status="failed"} 5
        go_build_builds_total{command="build",failure="none",go_version="v",goarch="a",goos="o",project="p",status="succeeded"} 5
        go_build_builds_total{command="build",failure="none",go_version="v",goarch="a",goos="o",project="p",status="unknown"} 5
        go_build_builds_total{command="build",failure="unknown",go_version="v",goarch="a",goos="o",project="p",status="failed"} 5
    "#]].assert_eq(&of("go_build_builds_total"));
    expect![[r#"
        go_build_duration_seconds_sum{command="build",go_version="v",project="p",status="failed"} 7.5
        go_build_duration_seconds_sum{command="build",go_version="v",project="p",status="succeeded"} 2.5
        go_build_duration_seconds_sum{command="build",go_version="v",project="p",status="unknown"} 2.5
    "#]].assert_eq(&of("go_build_duration_seconds_sum"));
    expect![[r#"
        go_build_duration_seconds_bucket{command="build",go_version="v",project="p",status="failed",le="0.1"} 6
    "#]].assert_eq(&of("go_build_duration_seconds_bucket{command=\"build\",go_version=\"v\",project=\"p\",status=\"failed\",le=\"0.1\""));
}

#[test]
fn restored_counters_are_exact() {
    let first = Metrics::new(DAY).unwrap();
    for (_, trace) in sample::all() {
        first
            .observe(&FinishedTrace::of(trace.clone()), &untraced)
            .unwrap();
    }
    assert!(counted(&first).len() > 50);
    let mut again = successor(Some(first.counted().unwrap()), &[]);
    assert_eq!(counted(&again), counted(&first));
    // The same holds after further restarts.
    for _ in 0..3 {
        first
            .observe(&FinishedTrace::of(sample::cold()), &untraced)
            .unwrap();
        again
            .observe(&FinishedTrace::of(sample::cold()), &untraced)
            .unwrap();
        again = successor(Some(again.counted().unwrap()), &[]);
    }
    // Changes since the previous build are excluded: this test has no history.
    let without_reasons = |metrics: &Metrics| {
        let mut lines = counted(metrics);
        lines.retain(|it| !it.starts_with("go_build_cache_misses_total{"));
        lines
    };
    let (mine, theirs) = (without_reasons(&again), without_reasons(&first));
    assert_eq!(mine.len(), theirs.len());
    for (mine, theirs) in mine.iter().zip(&theirs) {
        let ((series, mine), (same, theirs)) = (value(mine), value(theirs));
        assert_eq!(series, same);
        assert!(
            (mine - theirs).abs() <= theirs * 1e-12,
            "{series}: {mine} {theirs}"
        );
    }
    assert_eq!(again.since_ns(), 0);
    assert_eq!(successor(None, &[]).since_ns(), 5);
}

#[test]
fn builds_after_the_stored_counters_are_counted_and_no_counter_decreases() {
    let first = Metrics::new(DAY).unwrap();
    first
        .observe(&FinishedTrace::of(sample::cold()), &untraced)
        .unwrap();
    let noted = first.counted().unwrap();
    let mut after = [sample::failed(), sample::up_to_date()];
    // Another start time makes another build.
    after[1].boot_to_wall_ns += 1_000_000_000;
    for trace in &after {
        first
            .observe(&FinishedTrace::of(trace.clone()), &untraced)
            .unwrap();
    }
    let again = successor(Some(noted), &after);
    let (before, now) = (counted(&first), counted(&again));
    assert_eq!(before.len(), now.len());
    for (before, now) in before.iter().zip(&now) {
        let ((series, before), (same, now)) = (value(before), value(now));
        assert_eq!(series, same);
        assert!(
            now >= before && now - before <= before * 1e-11,
            "{series}: {before} {now}"
        );
        assert!(
            now <= before || before.fract() != 0.0,
            "{series}: {before} {now}"
        );
    }
}

fn values_of(metrics: &Metrics, family: &str, trace: &Trace) -> Vec<String> {
    let text = page(metrics, Format::Text, end_ns(trace));
    let lines = text.lines().filter(|it| it.starts_with(family));
    lines
        .map(|it| it.rsplit_once(' ').unwrap().1.to_owned())
        .collect()
}

#[test]
fn a_size_is_compared_with_the_previous_one_of_the_same_settings() {
    let metrics = Metrics::new(DAY).unwrap();
    metrics.set_size_budget(Some(Limit::Percent(5.0)));
    let mut trace = sample::cold();
    let mut build = |size: u64, flag: Option<&str>| {
        trace.builds[0].command.flags = flag
            .map(|it| tracer_core::model::Flag {
                name: it.to_owned(),
                value: None,
                origin: tracer_core::model::FlagOrigin::Argv,
            })
            .into_iter()
            .collect();
        trace.builds[0].outputs[0].artifact.as_mut().unwrap().size = size;
        metrics
            .observe(&FinishedTrace::of(trace.clone()), &untraced)
            .unwrap();
        let of = |what: &str| {
            values_of(
                &metrics,
                &format!("go_build_binary_size_{what}bytes{{"),
                &trace,
            )
            .join(" ")
        };
        [of(""), of("baseline_"), of("delta_"), of("threshold_")]
    };
    assert_eq!(build(1000, None), ["1000", "", "", ""]);
    assert_eq!(build(1010, None), ["1010", "1000", "10", "1050"]);
    assert_eq!(build(3000, Some("race")), ["3000", "", "", ""]);
    assert_eq!(build(990, None), ["990", "1010", "-20", "1060"]);
    assert_eq!(build(3000, Some("race")), ["3000", "3000", "0", "3150"]);
    metrics.set_size_budget(Some(Limit::Bytes(7)));
    assert_eq!(build(3001, Some("race")), ["3001", "3000", "1", "3007"]);
    metrics.set_size_budget(None);
    assert_eq!(build(3001, Some("race")), ["3001", "3001", "0", ""]);
}

/// The sizes of builds of one program: Go version, commit and size of each. Returns baseline and delta after each build.
fn sizes_after(builds: &[(&str, Option<u8>, u64)]) -> Vec<String> {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    let builds = builds.iter().map(|(version, commit, size)| {
        let build = &mut trace.builds[0];
        build.toolchain.version = Some((*version).to_owned());
        build.ci = Some(tracer_core::origin::Ci {
            revision: commit.map(|it| format!("{it:040x}")),
            ..Default::default()
        });
        let artifact = build.outputs[0].artifact.as_mut().unwrap();
        artifact.go_version = Some((*version).to_owned());
        artifact.size = *size;
        metrics
            .observe(&FinishedTrace::of(trace.clone()), &untraced)
            .unwrap();
        let of = |what: &str| {
            let family = format!("go_build_binary_size_{what}_bytes{{");
            values_of(&metrics, &family, &trace).join(" ")
        };
        format!("{} {}", of("baseline"), of("delta"))
    });
    builds.collect()
}

#[test]
fn two_versions_of_go_have_baselines_of_their_own() {
    let (old, new) = ("go1.26.1", "go1.27.3");
    let sizes = sizes_after(&[
        (old, Some(1), 1000),
        (new, Some(1), 1135),
        (old, Some(2), 1001),
        (new, Some(2), 1137),
        ("go1.26.2", Some(3), 1001),
    ]);
    assert_eq!(sizes, [" ", " ", "1000 1", "1135 2", "1001 0"]);
}

#[test]
fn a_rebuild_of_a_commit_is_no_new_baseline() {
    let go = "go1.27.3";
    let sizes = sizes_after(&[
        (go, Some(1), 1000),
        (go, Some(2), 1500),
        (go, Some(2), 1500),
        (go, Some(2), 1490),
        (go, Some(3), 1500),
        (go, None, 1600),
        (go, None, 1700),
    ]);
    let expected = [
        " ", "1000 500", "1000 500", "1000 490", "1490 10", "1500 100", "1600 100",
    ];
    assert_eq!(sizes, expected);
}

#[test]
fn every_compiled_package_has_one_reason() {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    trace.builds[0].toolchain.version = Some("go1.99".to_owned());
    metrics
        .observe(&FinishedTrace::of(trace.clone()), &untraced)
        .unwrap();
    let text = page(&metrics, Format::Text, end_ns(&trace));
    let n = trace.builds[0].packages.compiled;
    for reason in ["first_build", "inputs", "toolchain"] {
        let line = format!(
            "go_build_cache_misses_total{{project=\"example.com/hello\",reason=\"{reason}\"}} {n}"
        );
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    let sum = |family: &str| -> f64 {
        let values = values_of(&metrics, family, &trace);
        values.iter().map(|it| it.parse::<f64>().unwrap()).sum()
    };
    let compiled = sum("go_build_packages_total{outcome=\"compiled\"");
    assert!((sum("go_build_cache_misses_total{") - compiled).abs() < 0.5);
    let drift = "go_build_env_drift{kind=\"toolchain\",project=\"example.com/hello\"} 1";
    assert!(text.lines().any(|it| it == drift), "{text}");
    let drifts = values_of(&metrics, "go_build_env_drift{", &trace);
    assert_eq!(drifts.iter().filter(|it| *it == "0").count(), 5);
    // The gauges are removed with the project.
    let day = i64::try_from(DAY.as_nanos()).unwrap();
    let text = page(&metrics, Format::Text, end_ns(&trace) + 2 * day);
    assert!(!text.contains("go_build_env_drift{"), "{text}");
}

#[test]
fn gauges_of_projects_and_targets_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut trace = sample::cold();
    let first = Metrics::new(DAY).unwrap();
    for (size, version) in [(1000, "go1.26"), (1200, "go1.27"), (1500, "go1.27")] {
        trace.boot_to_wall_ns += 1_000_000_000;
        trace.builds[0].toolchain.version = Some(version.to_owned());
        trace.builds[0].outputs[0].artifact.as_mut().unwrap().size = size;
        crate::history::store_builds(&FinishedTrace::of(trace.clone()), &path).unwrap();
        first
            .observe(&FinishedTrace::of(trace.clone()), &untraced)
            .unwrap();
    }
    let again = Metrics::new(DAY).unwrap();
    let tally = StoredCounters::default();
    crate::history::read(&path, |it| Ok(again.restore(&tally, it, end_ns(&trace))))
        .unwrap()
        .unwrap();
    let gauges = |metrics: &Metrics| -> Vec<String> {
        let text = page(metrics, Format::Text, end_ns(&trace));
        let names = ["go_build_binary_size_", "go_build_env_drift{"];
        let lines = text
            .lines()
            .filter(|line| names.iter().any(|it| line.starts_with(it)));
        lines.map(str::to_owned).collect()
    };
    assert!(gauges(&first).iter().any(|it| it.ends_with(" 300")));
    assert_eq!(gauges(&again), gauges(&first));
}

#[test]
fn unusable_stored_counters_are_reported() {
    let metrics = Metrics::new(DAY).unwrap();
    metrics
        .observe(&FinishedTrace::of(sample::cold()), &untraced)
        .unwrap();
    let good = metrics.counted().unwrap();
    for bad in [
        String::new(),
        "{}".to_owned(),
        good.replace("\"form\":2", "\"form\":3"),
        good.replace(
            "\"counter\":",
            "\"counter\":18444492273895866368,\"counter\":",
        ),
        good[..good.len() / 2].to_owned(),
    ] {
        assert_ne!(bad, good);
        assert!(SavedCounters::parse(&bad).is_err(), "{bad}");
    }
    // This counter is not a number.
    let nan = format!("{:?}", f64::NAN.to_bits());
    let start = good.find("\"counter\":").unwrap() + "\"counter\":".len();
    let end = start + good[start..].find('}').unwrap();
    let bad = format!("{}{nan}{}", &good[..start], &good[end..]);
    assert!(
        matches!(SavedCounters::parse(&bad), Err(SavedCountersError::Form)),
        "{bad}"
    );
}

#[test]
fn own_metrics_have_the_values_of_the_last_update() {
    let metrics = Metrics::new(DAY).unwrap();
    for n in [7, 9] {
        let status = ObserverStatus {
            events: vec![Events {
                kind: tracer_abi::Kind::EXEC.0,
                seen: n,
                lost: 1,
            }],
            n_probes: 3,
            delay_ns: 250_000_000,
            cpu_ns: 1_000_000_000,
            resident_bytes: 4000,
            self_test: if n == 9 {
                SelfTestVerdict::Seen
            } else {
                SelfTestVerdict::Pending
            },
            ..ObserverStatus::default()
        };
        let storage = StorageStatus {
            n_waiting: 2,
            n_dropped: n,
            cpu_ns: 500_000_000,
            resident_bytes: 96,
            history: History {
                deleted_by_age: n,
                deleted_by_size: 0,
                n_set_aside: 0,
                bytes: 12_288,
                free_bytes: Some(1 << 30),
                oldest_ns: Some(1_500_000_000),
            },
            ..StorageStatus::default()
        };
        metrics.set_self(&status, &storage).unwrap();
    }
    let text = page(&metrics, Format::Text, 0);
    for line in [
        "gotrace_events_total{kind=\"exec\"} 9",
        "gotrace_events_lost_total{kind=\"exec\"} 1",
        "gotrace_probes_attached 3",
        "gotrace_event_delay_seconds 0.25",
        "gotrace_queue_length{queue=\"history\"} 2",
        "gotrace_queue_dropped_total{queue=\"history\"} 9",
        "gotrace_cpu_seconds_total 1.5",
        "gotrace_resident_memory_bytes 4096",
        "gotrace_self_test_success 1",
        "gotrace_history_builds_deleted_total{reason=\"age\"} 9",
        "gotrace_history_builds_deleted_total{reason=\"size\"} 0",
        "gotrace_history_size_bytes 12288",
        "gotrace_history_free_bytes 1073741824",
        "gotrace_history_oldest_build_timestamp_seconds 1.5",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[test]
fn an_empty_history_has_no_oldest_build_and_counts_from_zero() {
    let metrics = Metrics::new(DAY).unwrap();
    let deleted = "gotrace_history_builds_deleted_total{reason=\"size\"} 0\n";
    assert!(page(&metrics, Format::Text, 0).contains(deleted));
    for (oldest_ns, is_there) in [(None, false), (Some(1), true), (None, false)] {
        let history = History {
            oldest_ns,
            ..History::default()
        };
        let storage = StorageStatus {
            history,
            ..StorageStatus::default()
        };
        metrics
            .set_self(&ObserverStatus::default(), &storage)
            .unwrap();
        let text = page(&metrics, Format::Text, 0);
        let oldest = "gotrace_history_oldest_build_timestamp_seconds ";
        assert_eq!(text.contains(oldest), is_there, "{text}");
    }
}

#[test]
fn the_documentation_lists_every_family_with_its_labels() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = docs.lines().filter(|it| it.starts_with("| `")).collect();
    assert_eq!(
        rows.len(),
        family::ALL.len() + own::ALL.len() + process::ALL.len()
    );
    for spec in family::ALL.iter().chain(own::ALL).chain(process::ALL) {
        let row = rows
            .iter()
            .find(|it| it.starts_with(&format!("| `{}` |", spec.name)));
        let row = row.unwrap_or_else(|| panic!("docs/metrics.md has no row for {}", spec.name));
        let labels: Vec<String> = spec.labels.iter().map(|it| format!("`{it}`")).collect();
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
        assert_eq!(last, labels.join(", "), "{}", spec.name);
    }
}

#[test]
fn causes_of_stored_builds_are_summed_by_reason_and_place() {
    let metrics = Metrics::new(DAY).unwrap();
    let sums = CauseSums {
        project: Some("example.com/hello".to_owned()),
        started_ns: 1,
        by_reason: [(Reason::Cache, 2_500_000_000)].into(),
        by_place: [(Place::SameMachine, 2_000_000_000)].into(),
    };
    metrics.observe_causes(&sums).unwrap();
    metrics.observe_causes(&sums).unwrap();
    let page = page(&metrics, Format::Text, 0);
    for line in [
        "go_build_cache_miss_cpu_seconds_total{project=\"example.com/hello\",reason=\"cache\"} 5",
        "go_build_redundant_cpu_seconds_total{project=\"example.com/hello\",where=\"same_machine\"} 4",
    ] {
        assert!(page.contains(line), "{page}");
    }
}
