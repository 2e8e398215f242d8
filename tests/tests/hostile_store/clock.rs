//! Sets the wall clock while builds run: forward, back, before 1970, and to its maximum.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use tests::figures::print_figure;
use tracer_core::finished::FinishedTrace;
use tracer_core::history;
use tracer_core::model::Trace;
use tracer_user::history::{Filter, Writer, read};
use tracer_user::log::Log;

const DAY: i64 = 86_400_000_000_000;

fn recorded() -> Trace {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/build-go1.27.jsonl.gz");
    let file = File::open(path).unwrap();
    let replayed = tracer_user::driver::replay(BufReader::new(file));
    replayed.unwrap().trace
}

#[test]
fn clock_jumps_neither_duplicate_builds_nor_change_their_durations() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let trace = recorded();
    let now = 20_000 * DAY;
    let start = i64::try_from(trace.start.0).unwrap();
    let jumps = [
        0,
        400 * DAY,
        -400 * DAY,
        1,
        -1,
        -now,
        -now - DAY,
        i64::MAX - now - DAY,
    ];
    let mut jumped = Vec::new();
    let (writer, _) = Writer::start(&store, 64, Log::to(|it| panic!("{it}"))).unwrap();
    for (n, jump) in (0..).zip(jumps) {
        let boot_to_wall_ns = (now + n * 1_000_000_000).saturating_add(jump) - start;
        let moved = Trace {
            boot_to_wall_ns,
            ..trace.clone()
        };
        for kept in history::builds(&FinishedTrace::of(moved.clone())) {
            writer.begin(kept.entry.clone());
            jumped.push(kept.entry.id.to_string());
            writer.finish(kept);
        }
    }
    assert!(writer.flush(Duration::from_mins(1)));
    assert_eq!(writer.counts().failed, 0);
    drop(writer);
    let (entries, _) = read(&store, |it| it.list(&Filter::default())).unwrap();
    let mut found: Vec<String> = entries.iter().map(|it| it.id.to_string()).collect();
    found.sort();
    jumped.sort();
    jumped.dedup();
    assert_eq!(jumped.len(), jumps.len(), "names are unique");
    assert_eq!(found, jumped);
    for id in &found {
        let shown = read(&store, |it| it.show(&id.parse()?)).unwrap();
        let shown = shown.finished.unwrap();
        let shown = shown.trace();
        assert_eq!(shown.end.0 - shown.start.0, trace.end.0 - trace.start.0);
    }
    print_figure(
        "wall clock that jumps between builds",
        format!("{} jumps, up to 270 years", jumps.len()),
        format!(
            "stored {}, lost 0, duplicated 0; each with its true duration",
            found.len()
        ),
    );
}
