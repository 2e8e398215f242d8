//! The OTLP exporter alone, with a receiver that is busy, unreachable, slow or refuses. Builds come from the recordings. Needs no
//! root.
#![cfg(test)]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tests::otlp::{Received, Receiver, Reply, decode, free_address};
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;
use tracer_user::agent::export::Counts;
use tracer_user::agent::export::otlp::{Otlp, OtlpSettings};
use tracer_user::agent::metrics::Metrics;
use tracer_user::log::Log;

const PATIENCE: Duration = Duration::from_mins(2);

fn replayed(name: &str) -> Trace {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recordings/{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tracer_user::driver::replay(BufReader::new(file))
        .unwrap()
        .trace
}

fn start(text: &str) -> Otlp {
    let settings: OtlpSettings = toml::from_str(text).unwrap();
    let metrics = Metrics::new(Duration::from_hours(24 * 365 * 60)).unwrap();
    Otlp::start(&settings, Arc::new(metrics), Log::to(|_| {})).unwrap()
}

/// Sends traces only.
fn traces(receiver: &Receiver) -> Otlp {
    let address = receiver.address();
    start(&format!(
        "endpoint = \"http://{address}/base/\"\nlogs = false\nmetrics = false"
    ))
}

fn wait_for(otlp: &Otlp, wanted: impl Fn(Counts) -> bool) -> Counts {
    let since = Instant::now();
    loop {
        let counts = otlp.counts();
        if wanted(counts) {
            return counts;
        }
        assert!(since.elapsed() < PATIENCE, "{counts:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

#[test]
fn a_request_to_a_busy_receiver_is_repeated_unchanged() {
    for status in [429, 502, 503, 504] {
        let receiver = Receiver::start(move |_, n| match n {
            0 => Reply::Now(status, "Retry-After: 0\r\n", b"busy".to_vec()),
            _ => Reply::ok(),
        });
        let otlp = traces(&receiver);
        otlp.ended(&FinishedTrace::of(replayed("build-go1.27")));
        let counts = wait_for(&otlp, |it| it.waiting == 0);
        assert_eq!((counts.sent, counts.failed), (1, 0), "{status}");
        let requests = receiver.received();
        let [first, second] = &requests[..] else {
            panic!("{status}: {} requests", requests.len())
        };
        assert_eq!(first.path, "/base/v1/traces");
        assert_eq!(first.body, second.body);
    }
}

#[test]
fn a_refused_request_is_not_retried() {
    for status in [400, 401, 404, 413, 500, 501, 307] {
        let receiver = Receiver::start(move |_, n| match n {
            0 => Reply::Now(status, "Location: /elsewhere\r\n", Vec::new()),
            _ => Reply::ok(),
        });
        let otlp = traces(&receiver);
        let trace = replayed("build-go1.27");
        otlp.ended(&FinishedTrace::of(trace.clone()));
        wait_for(&otlp, |it| it.waiting == 0);
        // The next is not held up by it.
        otlp.ended(&FinishedTrace::of(trace.clone()));
        let counts = otlp.finish(deadline());
        assert_eq!((counts.sent, counts.failed), (1, 1), "{status}");
        assert_eq!(receiver.received().len(), 2, "{status}");
    }
}

#[test]
fn a_partially_accepted_request_is_not_counted_as_delivered() {
    // partial_success { rejected_spans: 3, error_message: "no" }
    let answer = vec![0x0a, 0x06, 0x08, 0x03, 0x12, 0x02, b'n', b'o'];
    let receiver = Receiver::start(move |_, _| Reply::Now(200, "", answer.clone()));
    let otlp = traces(&receiver);
    otlp.ended(&FinishedTrace::of(replayed("build-go1.27")));
    let counts = otlp.finish(deadline());
    assert_eq!((counts.sent, counts.failed), (0, 1));
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn an_unreachable_receiver_gets_the_missed_data_later() {
    let address = free_address();
    let otlp = start(&format!("endpoint = \"http://{address}\"\nmetrics = false"));
    let trace = replayed("generate-go1.27");
    otlp.ended(&FinishedTrace::of(trace.clone()));
    // Two builds, each a request for its spans and one for its record.
    wait_for(&otlp, |it| it.waiting == 4);
    let receiver = Receiver::start_at(address, |_, _| Reply::ok());
    wait_for(&otlp, |it| it.sent == 4);
    let items = decode(&receiver.received());
    let records = items.iter().filter(|it| it["path"] == "/v1/logs");
    assert_eq!(records.count(), 2);
    let spans: Vec<_> = items
        .iter()
        .filter(|it| it["path"] == "/v1/traces")
        .collect();
    let roots: Vec<_> = spans.iter().filter(|it| it["parent"] == "").collect();
    assert_eq!(roots.len(), 1);
    assert!(spans.iter().all(|it| it["trace"] == roots[0]["trace"]));
}

#[test]
fn a_hanging_receiver_costs_bounded_memory_and_is_counted() {
    let receiver = Receiver::start(|_, _| Reply::Never);
    let otlp = traces(&receiver);
    let trace = replayed("build-go1.27");
    let n = 1100;
    for _ in 0..n {
        otlp.ended(&FinishedTrace::of(trace.clone()));
    }
    let Counts {
        sent,
        failed,
        dropped,
        waiting,
    } = otlp.counts();
    assert_eq!(sent + failed + dropped + waiting, n);
    assert!(waiting <= 1025, "{waiting}");
    let deadline = Instant::now() + Duration::from_millis(200);
    let counts = otlp.finish(deadline);
    assert_eq!(counts.sent, 0);
    let bytes = receiver.received().first().map_or(0, |it| it.body.len());
    assert!(bytes > 0, "no request was sent");
}

#[test]
fn waiting_requests_are_sent_at_shutdown_and_metrics_come_last() {
    let receiver = Receiver::start(|_, _| Reply::ok());
    let otlp = start(&format!("endpoint = \"http://{}\"", receiver.address()));
    for _ in 0..20 {
        otlp.ended(&FinishedTrace::of(replayed("up-to-date-go1.27")));
    }
    let counts = otlp.finish(deadline());
    assert_eq!((counts.failed, counts.dropped, counts.waiting), (0, 0, 0));
    let requests = receiver.received();
    assert_eq!(requests.len() as u64, counts.sent);
    assert_eq!(requests.last().unwrap().path, "/v1/metrics");
    assert_eq!(
        requests.iter().filter(|it| it.path == "/v1/logs").count(),
        20
    );
}

#[test]
fn a_header_file_is_read_for_each_request() {
    let receiver = Receiver::start(|_, _| Reply::ok());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    fs::write(&file, "Authorization: Bearer one\n").unwrap();
    let otlp = start(&format!(
        "endpoint = \"http://{}\"\nheaders_file = {file:?}\nheaders = {{ a = \"1\" }}\nlogs = false\nmetrics = false",
        receiver.address()
    ));
    let trace = replayed("build-go1.27");
    otlp.ended(&FinishedTrace::of(trace.clone()));
    wait_for(&otlp, |it| it.sent == 1);
    fs::write(&file, "Authorization: Bearer two\nA: 2\n").unwrap();
    otlp.ended(&FinishedTrace::of(trace.clone()));
    wait_for(&otlp, |it| it.sent == 2);
    let requests = receiver.received();
    let of = |it: &Received, name: &str| it.header(name).map(str::to_owned);
    let items = requests.iter();
    let items: Vec<_> = items
        .map(|it| (of(it, "authorization"), of(it, "a")))
        .collect();
    let expected = [("Bearer one", "1"), ("Bearer two", "2")];
    let expected = expected.map(|(a, b)| (Some(a.to_owned()), Some(b.to_owned())));
    assert_eq!(items, expected);
}

#[test]
fn an_invalid_setting_is_reported_at_startup() {
    let refused = |text: &str| {
        let settings: OtlpSettings = toml::from_str(text).unwrap();
        let metrics = Arc::new(Metrics::new(PATIENCE).unwrap());
        let error = Otlp::start(&settings, metrics, Log::to(|_| {})).unwrap_err();
        format!("{error:#}")
    };
    assert!(refused("").contains("no endpoint"));
    let error = refused("endpoint = \"http://127.0.0.1:1\"\nheaders_file = \"/nowhere/headers\"");
    assert!(error.contains("cannot read /nowhere/headers"), "{error}");
    let error = refused("endpoint = \"https://127.0.0.1:1\"\nca_file = \"/nowhere/ca.pem\"");
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}
