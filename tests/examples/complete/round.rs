//! One recorded build: its events and its action graph from the `go` command.

use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

use tests::oracle::{self, Action};
use tests::{Module, Toolchain};
use tracer_core::event::Event;
use tracer_core::recording::Reader;

pub(crate) struct Round {
    pub(crate) events: Vec<Event>,
    pub(crate) graph: Vec<Action>,
    /// Wall time of the recorded build.
    pub(crate) seconds: f64,
}

/// Records a cold build of `tests/gomods/hello` and of the packages that match `pattern`. The command has no `-o`, because `go`
/// would then build main packages only.
pub(crate) fn record(toolchain: &Toolchain, pattern: &str) -> Round {
    let module = Module::copy("hello");
    let out = module.sandbox.out();
    let (recording, graph) = (out.join("recording"), out.join("graph.json"));
    let began = Instant::now();
    let output = module
        .gotrace(toolchain, &["record", "--strict", "-o"])
        .arg(&recording)
        .arg("--")
        .arg(&toolchain.go)
        .arg("build")
        .arg(format!("-debug-actiongraph={}", graph.display()))
        .args([pattern, "."])
        .output()
        .unwrap_or_else(|error| panic!("cannot run gotrace: {error}"));
    let seconds = began.elapsed().as_secs_f64();
    assert!(
        output.status.success(),
        "the recorded build failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let file = File::open(&recording).unwrap_or_else(|error| panic!("no recording: {error}"));
    let mut reader = Reader::open(BufReader::new(file))
        .unwrap_or_else(|error| panic!("not a recording: {error}"));
    let events = reader.by_ref().collect();
    let summary = reader.summary();
    assert!(
        summary.damage.is_none() && summary.n_skipped == 0,
        "the recording is incomplete: {summary:?}"
    );
    Round {
        events,
        graph: oracle::actiongraph(&graph),
        seconds,
    }
}
