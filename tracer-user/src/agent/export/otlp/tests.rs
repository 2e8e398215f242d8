//! Exports of real recordings: consistent trees for every limit, reproducible IDs, and no private data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use expect_test::expect;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message as _;
use tracer_core::event::{Ktime, ProcKey, Tgid};
use tracer_core::finished::FinishedTrace;
use tracer_core::model::{State, Trace};
use tracer_core::origin::{Ci, TraceContext};
use tracer_core::report::timeline::{self, SpanRef};

use super::id::{self, SpanPosition};
use super::limit::{self, Choice};
use super::metric::{self, Period};
use super::request::{self, OtlpRequest, Signal, SpanContent};
use super::resource::Machine;
use super::{build, span};
use crate::agent::metrics::{Metrics, Reader};
use crate::config::otlp::ParentSpan;
use crate::render::sample;

fn machine() -> Machine {
    Machine {
        service: "gotrace".to_owned(),
        host: Some("builder".to_owned()),
    }
}

const ALL: SpanContent = SpanContent {
    spans: true,
    logs: true,
    spans_per_build: 500,
    cached_actions: true,
    parent: ParentSpan::Ci,
    argv: false,
};

fn replayed(path: &Path) -> Trace {
    let file = BufReader::new(File::open(path).unwrap());
    crate::driver::replay(file).unwrap().trace
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings")
}

fn recording(name: &str) -> Trace {
    replayed(&directory().join(format!("{name}.jsonl.gz")))
}

/// All recordings, by name.
fn recordings() -> Vec<(String, Trace)> {
    let entries = fs::read_dir(directory()).unwrap();
    let paths = entries.map(|it| it.unwrap().path());
    let found: Vec<(String, Trace)> = paths
        .filter(|it| it.extension().is_some_and(|it| it == "gz"))
        .map(|it| (it.display().to_string(), replayed(&it)))
        .collect();
    assert!(found.len() >= 18, "recordings are missing");
    found
}

fn value<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|it| it.key == name)?;
    found.value.as_ref()?.value.as_ref()
}

fn number(attributes: &[KeyValue], name: &str) -> u64 {
    match value(attributes, name) {
        Some(Value::IntValue(n)) => u64::try_from(*n).unwrap(),
        None => 0,
        other => panic!("{name}: {other:?}"),
    }
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    match value(attributes, name) {
        Some(Value::StringValue(text)) => Some(text),
        None => None,
        other => panic!("{name}: {other:?}"),
    }
}

fn wall(span: &Span) -> u64 {
    span.end_time_unix_nano - span.start_time_unix_nano
}

fn finished(trace: &Trace) -> FinishedTrace {
    FinishedTrace::of(trace.clone())
}

fn spans(trace: &Trace, limit: usize) -> Vec<(SpanPosition, Vec<Span>)> {
    let finished = finished(trace);
    let places = id::places(&finished, ALL.parent).into_iter();
    places
        .map(|(build, place)| {
            let wanted = SpanContent {
                spans_per_build: limit,
                ..ALL
            };
            let spans = span::spans(build, &place, wanted);
            (place, spans)
        })
        .collect()
}

#[test]
fn every_tree_adds_up_whatever_the_limit() {
    let mut n_cut = 0;
    for (name, trace) in recordings() {
        let whole = spans(&trace, usize::MAX);
        for limit in [1, 2, 3, 7, 50, 500] {
            let cut = spans(&trace, limit);
            assert_eq!(cut.len(), whole.len(), "{name}");
            for ((place, cut), (_, whole)) in cut.iter().zip(&whole) {
                check_tree(&name, place, cut);
                assert!(cut.len() <= limit, "{name}: {} of {limit}", cut.len());
                assert_eq!(cut.len(), limit.min(whole.len()), "{name}");
                let of_build = &cut[0].attributes;
                let omitted = number(of_build, "go.build.omitted.spans");
                assert_eq!(cut.len() as u64 + omitted, whole.len() as u64, "{name}");
                let levels = ["stages", "actions", "calls", "phases"].map(|it| {
                    let level = format!("go.build.omitted.{it}");
                    number(of_build, &level)
                });
                assert_eq!(levels.iter().sum::<u64>(), omitted, "{name}");
                let total = |spans: &[Span]| spans.iter().skip(1).map(wall).sum::<u64>();
                let missing = number(of_build, "go.build.omitted.wall_ns");
                assert_eq!(total(cut) + missing, total(whole), "{name}");
                n_cut += usize::from(omitted > 0);
            }
        }
    }
    assert!(n_cut > 20, "{n_cut}");
}

fn check_tree(name: &str, place: &SpanPosition, spans: &[Span]) {
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|it| (&*it.span_id, it)).collect();
    assert_eq!(by_id.len(), spans.len(), "{name}: an id twice");
    for (at, span) in spans.iter().enumerate() {
        assert_eq!(span.trace_id, place.trace.bytes(), "{name}");
        assert_eq!(span.span_id.len(), 8);
        assert!(span.start_time_unix_nano > 1_600_000_000_000_000_000);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        assert!(!span.name.is_empty() && span.name.len() <= 64);
        let keys: BTreeSet<&str> = span.attributes.iter().map(|it| &*it.key).collect();
        assert_eq!(keys.len(), span.attributes.len(), "{name}: a key twice");
        if at == 0 {
            continue;
        }
        let parent = by_id.get(&*span.parent_span_id);
        let parent = parent.unwrap_or_else(|| panic!("{name}: {} is an orphan", span.name));
        let is_within = parent.start_time_unix_nano <= span.start_time_unix_nano
            && span.end_time_unix_nano <= parent.end_time_unix_nano;
        assert!(is_within, "{name}: {} is not in {}", span.name, parent.name);
    }
}

/// The tree as a viewer displays it: indented names, equal ones combined.
fn tree(trace: &Trace) -> String {
    let mut text = String::new();
    for (_, spans) in spans(trace, usize::MAX) {
        let mut paths: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        let mut counts: Vec<(String, usize)> = Vec::new();
        for span in &spans {
            let above = paths.get(&span.parent_span_id).cloned().unwrap_or_default();
            let path = format!("{above}/{}", span.name);
            match counts.iter_mut().find(|(it, _)| *it == path) {
                Some((_, n)) => *n += 1,
                None => counts.push((path.clone(), 1)),
            }
            paths.insert(span.span_id.clone(), path);
        }
        for (path, n) in counts {
            writeln!(text, "{n} {path}").unwrap();
        }
    }
    text
}

#[test]
fn a_build_is_actions_calls_and_phases() {
    expect![[r#"
        1 /go build
        1 /go build/command
        1 /go build/load
        1 /go build/execute
        31 /go build/execute/build check cache
        31 /go build/execute/build
        2 /go build/execute/build/compile
        2 /go build/execute/build/compile/fe:init
        2 /go build/execute/build/compile/fe:loadsys
        2 /go build/execute/build/compile/fe:parse
        1 /go build/execute/build/compile/fe:pgo-load-profile
        1 /go build/execute/build/compile/fe:devirtualize-and-inline
        1 /go build/execute/build/compile/fe:escapes
        1 /go build/execute/build/compile/be:compilefuncs
        1 /go build/execute/build/compile/be:dumpobj
    "#]]
    .assert_eq(&tree(&recording("compile-error-go1.27")));
    expect![[r#"
        1 /go generate
        1 /go generate/command
        1 /go generate/load
        1 /go run
        1 /go run/command
        1 /go run/execute
        59 /go run/execute/build check cache
        59 /go run/execute/build
        1 /go run/execute/link
        1 /go run/execute/go run
        1 /go run/execute/build/compile
        1 /go run/execute/build/compile/fe:init
        1 /go run/execute/build/compile/fe:loadsys
        1 /go run/execute/build/compile/fe:parse
        1 /go run/execute/build/compile/fe:pgo-load-profile
        1 /go run/execute/build/compile/fe:devirtualize-and-inline
        1 /go run/execute/build/compile/fe:escapes
        1 /go run/execute/build/compile/be:compilefuncs
        1 /go run/execute/build/compile/be:dumpobj
        1 /go run/execute/link/link
        1 /go run/execute/link/link/libinit
        1 /go run/execute/link/link/computeTLSOffset
        1 /go run/execute/link/link/Archinit
        1 /go run/execute/link/link/loadlib
        1 /go run/execute/link/link/inittasks
        1 /go run/execute/link/link/deadcode
        1 /go run/execute/link/link/linksetup
        1 /go run/execute/link/link/dostrdata
        1 /go run/execute/link/link/dwarfGenerateDebugInfo
        1 /go run/execute/link/link/callgraph
        1 /go run/execute/link/link/doStackCheck
        1 /go run/execute/link/link/mangleTypeSym
        1 /go run/execute/link/link/doelf
        1 /go run/execute/link/link/textbuildid
        1 /go run/execute/link/link/addexport
        1 /go run/execute/link/link/Gentext
        1 /go run/execute/link/link/textaddress
        1 /go run/execute/link/link/buildinfo
        1 /go run/execute/link/link/pclntab
        1 /go run/execute/link/link/findfunctab
        1 /go run/execute/link/link/dwarfGenerateDebugSyms
        1 /go run/execute/link/link/symtab
        1 /go run/execute/link/link/dodata
        1 /go run/execute/link/link/address
        1 /go run/execute/link/link/dwarfcompress
        1 /go run/execute/link/link/layout
        1 /go run/execute/link/link/Asmb
        1 /go run/execute/link/link/GenSymsLate
        1 /go run/execute/link/link/Asmb2
        1 /go run/execute/link/link/Munmap
        1 /go run/execute/link/link/hostlink
        1 /go run/execute/link/link/Flush
        1 /go run/execute/link/link/archive
        1 /go run/program
    "#]]
    .assert_eq(&tree(&recording("generate-go1.27")));
}

#[test]
fn a_nested_build_is_a_child_in_the_same_trace() {
    let trace = recording("generate-go1.27");
    let finished = finished(&trace);
    let places = id::places(&finished, ALL.parent);
    let [(outer, above), (inner, below), ..] = &places[..] else {
        panic!("{places:?}")
    };
    assert_eq!(inner.build.parent, Some(outer.build.process));
    assert_eq!(above.trace, below.trace);
    assert_eq!(above.parent, None);
    let parent = below.parent.unwrap();
    assert_eq!((parent.span, parent.is_remote), (above.span, false));
    // A build can be found by its ID.
    let digits = outer.entry.id.as_str().replace('-', "");
    assert_eq!(above.trace.to_string(), digits);
    assert_eq!(above.span.to_string(), digits[16..]);
}

#[test]
fn a_cycle_of_parents_is_accepted() {
    let mut trace = recording("generate-go1.27");
    let processes: Vec<ProcKey> = trace.builds.iter().map(|it| it.process).collect();
    let n = processes.len();
    for (at, build) in trace.builds.iter_mut().enumerate() {
        build.parent = Some(processes[(at + 1) % n]);
    }
    assert_eq!(
        id::places(&finished(&trace), ALL.parent).len(),
        spans(&trace, 10).len()
    );
}

const PARENT: &str = r#"{"trace":"0af7651916cd43dd8448eb211c80319c","span":"b7ad6b7169203331","is_sampled":true,"state":"a=1"}"#;

#[test]
fn a_build_joins_the_trace_that_it_was_started_in() {
    let mut trace = recording("generate-go1.27");
    let context: TraceContext = serde_json::from_str(PARENT).unwrap();
    for build in &mut trace.builds {
        build.trace_context = Some(context.clone());
    }
    let all = spans(&trace, 500);
    let outer = &all[0].1[0];
    assert_eq!(outer.parent_span_id, context.span.bytes());
    assert_eq!(outer.flags, 0x301);
    for (place, spans) in &all {
        assert_eq!(place.trace, context.trace);
        assert!(spans.iter().all(|it| it.trace_state == "a=1"));
    }
    // The parent is the enclosing build, not the parent span of that build.
    assert_eq!(all[1].1[0].parent_span_id, outer.span_id);
    assert_eq!(all[1].1[0].flags, 0x101);
}

#[test]
fn an_unsampled_trace_has_a_log_record_and_no_spans() {
    let mut trace = recording("generate-go1.27");
    for build in &mut trace.builds {
        let context: TraceContext = serde_json::from_str(PARENT).unwrap();
        build.trace_context = Some(TraceContext {
            is_sampled: false,
            ..context
        });
    }
    let requests = request::of_builds(&finished(&trace), &machine(), ALL);
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|it| it.signal == Signal::Logs));
}

/// The ids are those of the receiver's own golden file, `testdata/workflow-run-expected.yaml` of 0.151.
#[test]
fn a_run_on_github_is_the_trace_that_the_collector_makes_of_it() {
    let mut trace = recording("build-go1.27");
    let ci = Ci {
        system: "github".to_owned(),
        run: Some("14460881260".to_owned()),
        attempt: Some("13".to_owned()),
        ..Ci::default()
    };
    trace.builds[0].ci = Some(ci.clone());
    let (_, place) = id::places(&finished(&trace), ALL.parent).remove(0);
    assert_eq!(place.trace.to_string(), "731ec8a47fd7450f753a812a4a8aa5a0");
    let parent = place.parent.unwrap();
    assert_eq!(parent.span.to_string(), "aba151af7cfbcf0f");
    assert!(parent.is_remote && place.is_sampled);
    // A known parent takes precedence over a computed one.
    trace.builds[0].trace_context = Some(serde_json::from_str(PARENT).unwrap());
    let (_, place) = id::places(&finished(&trace), ALL.parent).remove(0);
    assert_eq!(place.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
    // A run is joined only if its span is sent according to the configuration.
    trace.builds[0].trace_context = None;
    let own = finished(&trace);
    let (build, place) = id::places(&own, ParentSpan::Build).remove(0);
    assert_eq!(place.parent, None);
    assert_eq!(
        place.trace.to_string(),
        build.entry.id.as_str().replace('-', "")
    );
    // GitHub's runs have numeric IDs.
    trace.builds[0].trace_context = None;
    trace.builds[0].ci = Some(Ci {
        attempt: Some("x".to_owned()),
        ..ci
    });
    let (_, place) = id::places(&finished(&trace), ALL.parent).remove(0);
    assert_eq!(place.parent, None);
}

#[test]
fn a_failure_is_reported_on_the_failed_span() {
    let trace = recording("compile-error-go1.27");
    let (_, spans) = spans(&trace, 500).remove(0);
    let failed = spans.iter().filter(|it| it.status.is_some());
    let failed: Vec<(&str, Option<&str>)> = failed
        .map(|it| (&*it.name, text(&it.attributes, "error.type")))
        .collect();
    expect![[r#"[("go build", Some("compile")), ("build", Some("tool_failed")), ("compile", Some("exit_code"))]"#]].assert_eq(&format!("{failed:?}"));
    let of_build = &spans[0].attributes;
    assert_eq!(
        text(of_build, "cicd.pipeline.task.run.result"),
        Some("failure")
    );
    assert_eq!(number(of_build, "process.exit.code"), 1);
}

#[test]
fn only_what_made_a_build_fail_is_an_error() {
    for (name, trace) in recordings() {
        for ((build, _), (_, spans)) in id::places(&finished(&trace), ALL.parent)
            .iter()
            .zip(spans(&trace, 10_000))
        {
            let n = spans.iter().filter(|it| it.status.is_some()).count();
            if build.entry.state == State::Failed {
                assert!(n > 0, "{name}");
            } else {
                assert_eq!(n, 0, "{name}");
            }
        }
    }
}

#[test]
fn actions_that_ran_no_tool_are_sent_if_wanted() {
    let trace = recording("compile-error-go1.27");
    let finished = finished(&trace);
    let (build, place) = id::places(&finished, ALL.parent).remove(0);
    let of = |cached_actions| {
        let wanted = SpanContent {
            cached_actions,
            ..ALL
        };
        span::spans(build, &place, wanted)
    };
    let is_cached = |it: &&Span| text(&it.attributes, "go.build.outcome") == Some("cached");
    let (all, fewer) = (of(true), of(false));
    assert!(all.iter().filter(is_cached).count() > 10);
    assert_eq!(fewer.iter().filter(is_cached).count(), 0);
    assert_eq!(number(&fewer[0].attributes, "go.build.omitted.spans"), 0);
}

#[test]
fn a_command_line_is_sent_only_if_asked_for() {
    let secret = "sesame-open-7f3a";
    let mut trace = recording("build-go1.27");
    trace.builds[0].command.argv.push(secret.into());
    trace.builds[0].command.packages.push(secret.into());
    for flag in &mut trace.builds[0].command.flags {
        flag.value = Some(secret.into());
    }
    let has = |requests: &[OtlpRequest]| {
        let mut bodies = requests.iter().map(|it| &it.body);
        bodies.any(|it| it.windows(secret.len()).any(|it| it == secret.as_bytes()))
    };
    assert!(!has(&request::of_builds(
        &finished(&trace),
        &machine(),
        ALL
    )));
    let with_argv = SpanContent { argv: true, ..ALL };
    assert!(has(&request::of_builds(
        &finished(&trace),
        &machine(),
        with_argv
    )));
}

#[test]
fn a_summary_is_a_sentence_beside_the_same_span() {
    for (name, trace) in recordings() {
        let requests = request::of_builds(&finished(&trace), &machine(), ALL);
        let of = |signal| requests.iter().filter(move |it| it.signal == signal);
        let spans = of(Signal::Traces).flat_map(|it| {
            let request = ExportTraceServiceRequest::decode(&*it.body).unwrap();
            let resources = request.resource_spans.into_iter();
            resources
                .flat_map(|it| it.scope_spans)
                .flat_map(|it| it.spans)
        });
        let roots: BTreeSet<Vec<u8>> = spans
            .filter(|it| it.name.starts_with("go "))
            .map(|it| it.span_id)
            .collect();
        let records: Vec<_> = of(Signal::Logs)
            .flat_map(|it| {
                let request = ExportLogsServiceRequest::decode(&*it.body).unwrap();
                let resources = request.resource_logs.into_iter();
                let scopes = resources.flat_map(|it| it.scope_logs);
                scopes.flat_map(|it| it.log_records)
            })
            .collect();
        assert_eq!(
            records.len(),
            id::places(&finished(&trace), ALL.parent).len(),
            "{name}"
        );
        for record in records {
            assert!(roots.contains(&record.span_id), "{name}");
            let body = record.body.unwrap().value.unwrap();
            let Value::StringValue(body) = body else {
                panic!("{body:?}")
            };
            assert!(body.starts_with("go "), "{body}");
            assert_eq!(
                record.severity_text == "INFO",
                body.contains("succeeded"),
                "{body}"
            );
        }
    }
}

#[test]
fn gaps_are_reported() {
    let trace = sample::cold();
    let attributes = |trace: &Trace| {
        let finished = finished(trace);
        let build = finished.builds().next().unwrap();
        build::attributes(build, false).into_inner()
    };
    let whole = attributes(&trace);
    assert_eq!(
        value(&whole, "go.build.is_whole"),
        Some(&Value::BoolValue(true))
    );
    let mut trace = trace;
    trace.anomalies = vec![tracer_core::model::Anomaly::Lost {
        kind: "exec".to_owned(),
        n: 7,
    }];
    let gaps = attributes(&trace);
    assert_eq!(
        value(&gaps, "go.build.is_whole"),
        Some(&Value::BoolValue(false))
    );
    assert_eq!(number(&gaps, "go.build.lost"), 7);
}

#[test]
fn requests_are_within_bounds() {
    let mut trace = recording("build-go1.27");
    let call = trace.builds[0].calls.iter().find(|it| !it.is_query);
    let mut call = call.unwrap().clone();
    call.package = Some("p".repeat(5000).into());
    call.phases.clear();
    trace.builds[0].calls = vec![call; 3000];
    let wanted = SpanContent {
        spans_per_build: usize::MAX,
        ..ALL
    };
    let requests = request::of_builds(&finished(&trace), &machine(), wanted);
    let mut n = 0;
    for request in requests.iter().filter(|it| it.signal == Signal::Traces) {
        assert!(
            request.body.len() < (1 << 20) + 4096,
            "{}",
            request.body.len()
        );
        let request = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        assert!(spans.len() <= 512);
        n += spans.len();
    }
    assert!(n >= 3001, "{n}");
}

#[test]
fn metrics_are_those_of_the_page() {
    let metrics = Metrics::new(std::time::Duration::from_hours(24 * 365 * 90)).unwrap();
    for (_, trace) in recordings() {
        metrics.observe(&finished(&trace), &|_| None).unwrap();
    }
    let reader = Reader::Otlp {
        at: std::time::Duration::ZERO,
        is_last: true,
    };
    let families = metrics.gather(0, reader);
    let period = Period {
        start: 1,
        start_of_builds: 1,
        end: 2,
    };
    let made = metric::metrics(&families, period);
    assert_eq!(made.len(), families.len());
    let mut n_histograms = 0;
    for (metric, family) in made.iter().zip(&families) {
        assert_eq!(metric.name, family.name());
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => {
                assert!(metric.name.ends_with("_total") && sum.is_monotonic);
                assert_eq!(sum.aggregation_temporality, 2);
                assert!(
                    sum.data_points
                        .iter()
                        .all(|it| it.start_time_unix_nano == 1)
                );
            }
            Data::Gauge(gauge) => assert!(!gauge.data_points.is_empty()),
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    assert!(point.explicit_bounds.is_sorted());
                    n_histograms += 1;
                }
                assert_eq!(metric.unit, "s");
            }
            Data::ExponentialHistogram(_) | Data::Summary(_) => panic!("{metric:?}"),
        }
    }
    assert!(n_histograms > 10);
}

proptest! {
    /// For every tree and all times, the kept spans use the whole limit and are connected.
    #[test]
    fn what_stays_hangs_together(
        shape in prop::collection::vec((0_usize..1000, 0_u64..100, 0_u64..100), 1..200),
        room in 0_usize..220,
    ) {
        let parts: Vec<timeline::Span> = shape
            .iter()
            .enumerate()
            .map(|(at, (parent, start, wall))| timeline::Span {
                parent: (at > 0 && parent % 3 > 0).then(|| parent % at),
                source: SpanRef::Phase { call: 0, phase: 0 },
                start: Ktime(*start),
                end: Ktime(start + wall),
                made_it_fail: false,
                is_cached: false,
            })
            .collect();
        let stays = limit::choose(&parts, room, true);
        let stays: Vec<bool> = stays.iter().map(|it| *it == Choice::Sent).collect();
        prop_assert_eq!(stays.iter().filter(|it| **it).count(), room.min(parts.len()));
        for (part, stays_own) in parts.iter().zip(&stays) {
            if let Some(parent) = part.parent {
                prop_assert!(!stays_own || stays[parent]);
            }
        }
    }

    /// Impossible times and numbers cause no panic.
    #[test]
    fn damaged_times_are_endured(times in prop::collection::vec(any::<u64>(), 64), offset in any::<i64>()) {
        let mut trace = sample::cold();
        trace.boot_to_wall_ns = offset;
        let mut times = times.into_iter().cycle();
        let mut next = || Ktime(times.next().unwrap());
        for build in &mut trace.builds {
            build.start = next();
            build.end = Some(next());
            for call in &mut build.calls {
                call.start = next();
                let mut process = || ProcKey {
                    tgid: Tgid(u32::try_from(next().0 % 5).unwrap()),
                    born: Ktime(1),
                };
                call.started_by = Some(process());
                call.process = process();
            }
        }
        let requests = request::of_builds(&finished(&trace), &machine(), ALL);
        prop_assert!(!requests.is_empty());
    }
}
