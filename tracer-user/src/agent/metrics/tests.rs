//! Pages of the registry, from the samples.

use super::*;
use crate::render::sample;

const DAY: Duration = Duration::from_hours(24);

const OF_TARGETS: [&str; 5] = [
    "binary_size_bytes",
    "binary_section_size_bytes",
    "binary_section_entropy_bits",
    "timestamp_seconds",
    "info",
];

fn untraced(_: &Build) -> Option<TraceId> {
    None
}

fn page(metrics: &Metrics, format: Format, now_ns: i64) -> String {
    metrics.page(format, now_ns).unwrap()
}

fn end_ns(trace: &Trace) -> i64 {
    i64::try_from(trace.end.0).unwrap() + trace.boot_to_wall_ns
}

#[test]
fn gauges_of_a_target_vanish_and_its_counters_stay() {
    let trace = sample::cold();
    let metrics = Metrics::new(DAY).unwrap();
    metrics.observe(&trace, &untraced).unwrap();
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
    metrics.observe(&trace, &untraced).unwrap();
    for build in &mut trace.builds {
        build.toolchain.version = Some("go1.99".to_owned());
    }
    metrics.observe(&trace, &untraced).unwrap();
    let text = page(&metrics, Format::Text, end_ns(&trace));
    let lines = text.lines().filter(|it| it.starts_with("go_build_info{"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("go1.99"), "{lines:?}");
}

#[test]
fn a_section_that_is_gone_has_no_gauge() {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    metrics.observe(&trace, &untraced).unwrap();
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
    metrics.observe(&trace, &untraced).unwrap();
    assert_eq!(sections(&trace), [".text", ".text"]);
    // What could not be looked into has none either: those of the build before are not true of it.
    trace.builds[0].outputs[0]
        .artifact
        .as_mut()
        .unwrap()
        .anatomy = None;
    metrics.observe(&trace, &untraced).unwrap();
    assert!(sections(&trace).is_empty());
}

#[test]
fn room_is_made_by_what_vanished() {
    let metrics = Metrics::new(DAY).unwrap();
    let mut trace = sample::cold();
    for n in 0..250 {
        trace.builds[0].module = Some(format!("example.com/m{n}"));
        trace.boot_to_wall_ns += i64::try_from(DAY.as_nanos()).unwrap() * 2;
        metrics.observe(&trace, &untraced).unwrap();
        let text = page(&metrics, Format::Text, end_ns(&trace));
        assert!(text.contains(&format!("go_build_timestamp_seconds{{goarch=\"amd64\",goos=\"linux\",project=\"example.com/m{n}\"")), "{n}");
    }
}

#[test]
fn an_exemplar_stands_in_its_bucket_and_only_with_a_trace() {
    let trace = sample::cold();
    let metrics = Metrics::new(DAY).unwrap();
    metrics.observe(&trace, &untraced).unwrap();
    let without = page(&metrics, Format::OpenMetrics, end_ns(&trace));
    assert!(!without.contains("trace_id"), "{without}");
    metrics
        .observe(&trace, &|_| TraceId::new([0xab; 16]))
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

#[test]
fn what_the_agent_says_of_itself_is_what_it_was_told_last() {
    let metrics = Metrics::new(DAY).unwrap();
    for n in [7, 9] {
        let stats = SelfStats {
            events: vec![Kind {
                name: "exec",
                seen: n,
                lost: 1,
            }],
            n_probes: 3,
            queues: vec![Queue {
                name: "history",
                length: 2,
                dropped: n,
            }],
            cpu_seconds: 1.5,
            resident_bytes: 4096,
            ..SelfStats::default()
        };
        metrics.set_self(&stats).unwrap();
    }
    let text = page(&metrics, Format::Text, 0);
    for line in [
        "gotrace_events_total{kind=\"exec\"} 9",
        "gotrace_events_lost_total{kind=\"exec\"} 1",
        "gotrace_probes_attached 3",
        "gotrace_queue_length{queue=\"history\"} 2",
        "gotrace_queue_dropped_total{queue=\"history\"} 9",
        "gotrace_cpu_seconds_total 1.5",
        "gotrace_resident_memory_bytes 4096",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}
