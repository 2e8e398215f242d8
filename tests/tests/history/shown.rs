//! Listed and shown builds equal the stored ones, and obey the published schemas.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use expect_test::{expect, expect_file};
use serde_json::Value;
use tests::run_gotrace;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept};
use tracer_core::price::Prices;
use tracer_core::schedule::{MemoryReport, TestLedger, TimeReport, WhatIf};
use tracer_user::history::{Filter, Store, read, store_builds, view_schema};
use tracer_user::render::Style;

use crate::harness::{
    NO_ENV, SECOND, assert_intact, gotrace_builds, gotrace_explain, gotrace_show, listed, moved,
    recording, recordings, replayed,
};

#[test]
fn every_recorded_build_is_listed_and_shown_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let (mut n_builds, mut n_compared) = (0, 0);
    for name in recordings() {
        let trace = replayed(&name);
        assert_eq!(
            store_builds(&FinishedTrace::of(trace.clone()), &store)
                .unwrap()
                .len(),
            trace.builds.len(),
            "{name}"
        );
        n_builds += trace.builds.len();
        for kept in history::builds(&FinishedTrace::of(trace.clone())) {
            let output = gotrace_show(&store, &["--color", "never", kept.entry.id.as_str()]);
            assert!(output.status.success(), "{name}: {output:?}");
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains(kept.entry.id.as_str()), "{shown}");
            let golden = recording(&name)
                .to_str()
                .unwrap()
                .replace(".jsonl.gz", ".txt");
            if trace.builds.len() == 1 && trace.command == trace.builds[0].command.argv {
                assert!(
                    shown.starts_with(&fs::read_to_string(golden).unwrap()),
                    "{name}: {shown}"
                );
                n_compared += 1;
            }
        }
    }
    assert!(n_compared > 10, "{n_compared}");
    assert_eq!(listed(&store, &[]).len(), n_builds);
    assert_intact(&store);
}

#[test]
fn filters_exclude_other_builds_and_the_newest_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    for name in recordings() {
        store_builds(&FinishedTrace::of(replayed(&name)), &store).unwrap();
    }
    let all = listed(&store, &[]);
    let starts: Vec<i64> = all
        .iter()
        .map(|it| it["started_ns"].as_i64().unwrap())
        .collect();
    assert!(starts.is_sorted_by(|a, b| a >= b));
    let check = |args: &[&str], passes: &dyn Fn(&Value) -> bool| {
        let expected: Vec<&Value> = all.iter().filter(|it| passes(it)).collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{args:?} selects nothing"
        );
        let found = listed(&store, args);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{args:?}");
    };
    check(&["--status", "failed"], &|it| it["state"] == "failed");
    check(&["--project", "example.com/wasm"], &|it| {
        it["project"] == "example.com/wasm"
    });
    check(&["--project", "wasm"], &|it| {
        it["project"] == "example.com/wasm"
    });
    let has_output = |it: &Value, name: &str| {
        let targets = it["targets"].as_array().unwrap();
        targets
            .iter()
            .any(|it| it["path"].as_str().unwrap().ends_with(name))
    };
    check(&["--target", "libtwice.so"], &|it| {
        has_output(it, "/libtwice.so")
    });
    let dirs = all.iter().filter_map(|it| it["dir"].as_str());
    let deepest = dirs.max_by_key(|it| it.split('/').count()).unwrap();
    for dir in [deepest, &format!("{deepest}/")] {
        check(&["--dir", dir], &|it| it["dir"] == deepest);
    }
    assert_eq!(listed(&store, &["--dir", "/src"]), all);
    let middle = starts[starts.len() / 2];
    // A date has whole seconds only.
    let middle = middle - middle.rem_euclid(SECOND);
    let date = tracer_user::history::date(middle);
    let date = date.trim_end_matches(" UTC");
    check(&["--since", date], &|it| {
        it["started_ns"].as_i64().unwrap() >= middle
    });
    check(&["--until", date], &|it| {
        it["started_ns"].as_i64().unwrap() < middle
    });
    for none in [
        ["--branch", "main"],
        ["--project", "was%"],
        ["--project", "w_sm"],
        ["--host", "elsewhere"],
        ["--dir", "/elsewhere"],
        ["--dir", "/sr"],
    ] {
        assert_eq!(listed(&store, &none).len(), 0, "{none:?}");
    }
    let output = gotrace_builds(&store, &["--limit", "2"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--limit"),
        "{output:?}"
    );
}

#[test]
fn a_list_has_aligned_columns() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let now = 1_795_183_500 * SECOND;
    let names = [
        "build-go1.27",
        "compile-error-go1.27",
        "test-go1.27",
        "generate-go1.27",
        "c-shared-go1.27",
        "up-to-date-go1.27",
    ];
    for (hours, name) in (1..).zip(names) {
        store_builds(
            &FinishedTrace::of(moved(&replayed(name), now - hours * 3600 * SECOND)),
            &store,
        )
        .unwrap();
    }
    let mut writer = Store::open(&store).unwrap();
    let kept: Vec<Kept> = history::builds(&FinishedTrace::of(moved(
        &replayed("cgo-go1.27"),
        now - 90 * SECOND,
    )))
    .collect();
    writer.begin(&kept[0].entry).unwrap();
    let (entries, has_more) = read(&store, |it| it.list(&Filter::default())).unwrap();
    assert!(!has_more);
    let mut out = Vec::new();
    tracer_user::history::list(&entries, now, &Style::plain(100), &mut out).unwrap();
    expect![[r#"
        Id             Started     Took    State      Failure  Go      Build
        01a1f944-f874  90 s ago            running             1.27.3  build example.com/cgo
        01a1f90f-6900  60 min ago  25.7 s  succeeded           1.27.3  build → hello 2.34 MB  example.com/w…
        01a1f8d8-7aac  2 h ago     96 ms   failed     compile  1.27.3  build example.com/broken
        01a1f8a1-8c6d  3 h ago     309 ms  succeeded           1.27.3  test example.com/cmds
        01a1f86a-a248  3 h ago     224 ms  succeeded           1.27.3  run example.com/generate
        01a1f86a-9ff7  4 h ago     238 ms  succeeded           1.27.3  generate example.com/generate
        01a1f833-ae71  5 h ago     18.2 s  succeeded           1.27.3  build → libtwice.h 1.9 kB · libtwice…
        01a1f7fc-c03b  6 h ago     131 ms  succeeded           1.27.3  build → hello 2.34 MB  example.com/w…
    "#]].assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn an_output_is_compared_with_the_previous_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let mut trace = moved(&replayed("build-go1.27"), 1000 * SECOND);
    store_builds(&FinishedTrace::of(trace.clone()), &store).unwrap();
    let first = history::builds(&FinishedTrace::of(trace.clone()))
        .next()
        .unwrap()
        .entry
        .id;
    trace = moved(&trace, 2000 * SECOND);
    let artifact = trace.builds[0].outputs[0].artifact.as_mut().unwrap();
    let before = artifact.size;
    artifact.size += before / 10;
    store_builds(&FinishedTrace::of(trace.clone()), &store).unwrap();
    let second = history::builds(&FinishedTrace::of(trace.clone()))
        .next()
        .unwrap()
        .entry
        .id;
    let output = gotrace_show(&store, &["--format", "json", second.as_str()]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["previous"][0]["build"], first.as_str());
    assert_eq!(shown["previous"][0]["size"], before);
    let output = gotrace_show(&store, &["--color", "never", second.as_str()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(", now +") && text.contains("(10 %)"),
        "{text}"
    );
    // An output with other build settings is a different output.
    trace = moved(&trace, 3000 * SECOND);
    trace.builds[0].command.flags.clear();
    store_builds(&FinishedTrace::of(trace.clone()), &store).unwrap();
    let third = history::builds(&FinishedTrace::of(trace.clone()))
        .next()
        .unwrap()
        .entry
        .id;
    let output = gotrace_show(&store, &["--format", "json", third.as_str()]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["previous"][0], Value::Null);
}

/// A Python with `jsonschema`.
fn python() -> &'static str {
    let has_judge = |python: &&str| {
        let asked = Command::new(python)
            .args(["-c", "import jsonschema"])
            .output();
        asked.is_ok_and(|it| it.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(has_judge);
    python.expect(
        "no python3 with jsonschema: `cargo xtask test` installs it (Debian's python3-jsonschema)",
    )
}

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../schema/{name}"))
}

/// The published schemas and their names.
fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "gotrace.builds.v1.json",
            tracer_user::history::builds_schema(),
        ),
        ("gotrace.build.v1.json", tracer_user::history::show_schema()),
        (
            "gotrace.explanation.v1.json",
            tracer_user::history::explain_schema(),
        ),
        (
            "gotrace.comparison.v1.json",
            tracer_user::history::compare_schema(),
        ),
        ("gotrace.price.v1.json", view_schema::<Prices>()),
        (
            "gotrace.advice.v1.json",
            tracer_user::history::advice_schema(),
        ),
        ("gotrace.memory.v1.json", view_schema::<MemoryReport>()),
        ("gotrace.time.v1.json", view_schema::<TimeReport>()),
        ("gotrace.tests.v1.json", view_schema::<TestLedger>()),
        ("gotrace.what-if.v1.json", view_schema::<WhatIf>()),
    ]
}

#[test]
fn the_published_schemas_are_current_and_the_output_obeys_them() {
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        expect_file![published(name)].assert_eq(&text);
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    for name in [
        "build-go1.27",
        "cache-keys-go1.27",
        "generate-go1.27",
        "compile-error-go1.27",
    ] {
        store_builds(&FinishedTrace::of(replayed(name)), &store).unwrap();
    }
    let judge = |name: &str, document: &[u8]| {
        let file = dir.path().join("document.json");
        fs::write(&file, document).unwrap();
        let judged = Command::new(python())
            .args([
                "-c",
                "import json, sys, jsonschema\n\
                schema, document = (json.load(open(it)) for it in sys.argv[1:])\n\
                jsonschema.validators.validator_for(schema)(schema).validate(document)",
            ])
            .args([&published(name), &file])
            .output()
            .unwrap();
        assert!(
            judged.status.success(),
            "{}",
            String::from_utf8_lossy(&judged.stderr)
        );
    };
    let output = gotrace_builds(&store, &["--format", "json"]);
    judge("gotrace.builds.v1.json", &output.stdout);
    let listed_builds = listed(&store, &[]);
    for build in &listed_builds {
        assert!(build["started_at"].as_str().unwrap().ends_with('Z'));
        let seconds = build["wall_seconds"].as_f64().unwrap();
        let ns = build["ended_ns"].as_i64().unwrap() - build["started_ns"].as_i64().unwrap();
        let ns = Duration::from_nanos(u64::try_from(ns).unwrap());
        assert_eq!(Duration::from_secs_f64(seconds), ns);
    }
    let output = gotrace_builds(&store, &["--format", "jsonl", "--limit", "2"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(lines, listed_builds[..2]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--limit"));
    let output = gotrace_builds(&store, &["--format", "csv"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 1 + listed_builds.len());
    for (line, build) in table.lines().skip(1).zip(&listed_builds) {
        assert!(line.starts_with(build["id"].as_str().unwrap()), "{line}");
    }
    let ids: Vec<&str> = listed_builds
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    for second in &ids {
        let output = gotrace_compare(&store, &["--format", "json", ids[0], second]);
        if ids[0] == *second {
            assert_eq!(output.status.code(), Some(2));
        } else {
            judge("gotrace.comparison.v1.json", &output.stdout);
        }
    }
    let mut n_predicted = 0;
    for build in listed_builds {
        let output = gotrace_show(&store, &["--format", "json", build["id"].as_str().unwrap()]);
        judge("gotrace.build.v1.json", &output.stdout);
        let output = gotrace_explain(&store, &["--format", "json", build["id"].as_str().unwrap()]);
        judge("gotrace.explanation.v1.json", &output.stdout);
        let id = build["id"].as_str().unwrap();
        let output = gotrace_explain(&store, &["--modules", "--format", "json", id]);
        judge("gotrace.price.v1.json", &output.stdout);
        let output = gotrace_explain(&store, &["--format", "json", "--time", id]);
        judge("gotrace.time.v1.json", &output.stdout);
        assert_parts_add_up(&serde_json::from_slice(&output.stdout).unwrap());
        let output = gotrace_explain(&store, &["--format", "json", "--tests", id]);
        judge("gotrace.tests.v1.json", &output.stdout);
        let output = gotrace_what_if(&store, &["--format", "json", "--cores", "8", id]);
        let memory = gotrace_explain(&store, &["--format", "json", "--memory", id]);
        judge("gotrace.memory.v1.json", &memory.stdout);
        // Most recorded builds have no keys.
        if output.status.success() {
            judge("gotrace.what-if.v1.json", &output.stdout);
            n_predicted += 1;
        }
    }
    assert!(n_predicted > 0);
}

fn gotrace_compare(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["compare", "--store", store], args].concat(), NO_ENV)
}

fn gotrace_what_if(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["what-if", "--store", store], args].concat(), NO_ENV)
}

/// The parts of the time are all of it, and the steps of the path all of the actions.
fn assert_parts_add_up(document: &Value) {
    let time = document;
    let ns = |it: &Value| it.as_u64().unwrap();
    let parts = [
        &time["before"]["wall_ns"],
        &time["actions_ns"],
        &time["after_ns"],
    ];
    assert_eq!(parts.map(ns).iter().sum::<u64>(), ns(&time["wall_ns"]));
    if let Some(steps) = time["path"].as_array() {
        let steps = steps.iter().map(|it| ns(&it["wall_ns"]));
        assert_eq!(steps.sum::<u64>(), ns(&time["actions_ns"]));
        assert!(ns(&time["longest_chain_ns"]) <= ns(&time["actions_ns"]));
    }
}

#[test]
fn the_time_of_a_build_is_explained_and_predicted() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    store_builds(&FinishedTrace::of(replayed("cache-keys-go1.27")), &store).unwrap();
    let id = listed(&store, &[])[0]["id"].as_str().unwrap().to_owned();
    let text = |output: Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let time = text(gotrace_explain(
        &store,
        &["--color", "never", "--time", &id],
    ));
    expect![[r#"
        go build -trimpath -tags=other -o hello .
          446 ms on the clock, 218 ms of CPU; 2 CPUs
          Sum over all threads of waiting for a CPU: not known; for disks: not known

          before       89 ms   packages loaded in 82 ms
          actions     354 ms   62 actions executed, of 120
          after       2.5 ms

          Tools at once                             ▄██▅▆██████████████████████████▆
                         0.6 on average while actions ran · none or one for 446 ms

          Critical path: 326 ms in 16 executed actions, 28 ms waiting to start
          The longest chain of dependencies takes 333 ms. With these times of actions, more CPUs cannot make
          them end earlier.

          at        took     CPU    drag  step
          89 ms    11 ms                  waiting to start: build check cache math/bits
          100 ms  128 µs     0 s     0 s  build check cache math/bits
          100 ms   18 ms     0 s     0 s  build check cache internal/strconv
          118 ms  136 µs     0 s     0 s  build check cache internal/runtime/cgroup
          119 ms   45 ms     0 s   45 ms  build check cache runtime
          163 ms  175 µs     0 s  167 µs  build check cache internal/reflectlite
          164 ms   15 ms                  waiting to start: build check cache internal/oserror
          179 ms  276 µs                  waiting to start: build check cache syscall
          180 ms   16 ms     0 s     0 s  build check cache syscall
          195 ms  818 µs                  waiting to start: build check cache internal/syscall/unix
          196 ms  6.3 ms     0 s     0 s  build check cache internal/syscall/unix
          203 ms  487 µs     0 s     0 s  build check cache internal/poll
          203 ms  878 µs     0 s     0 s  build check cache os
          204 ms  206 µs     0 s  206 µs  build check cache fmt
          204 ms  260 µs     0 s  260 µs  build check cache example.com/wasm
          204 ms   25 ms   12 ms   25 ms  build example.com/wasm
          229 ms  157 µs                  waiting to start: link example.com/wasm
          229 ms  212 ms  120 ms  212 ms  link example.com/wasm
          441 ms  196 µs                  waiting to start: link-install example.com/wasm
          442 ms  1.8 ms     0 s  1.8 ms  link-install example.com/wasm
          shorter steps: 275 µs

          Longest other actions
          took    CPU   slack  action
          30 ms   0 s     0 s  build check cache reflect
          9.3 ms  0 s     0 s  build check cache internal/runtime/maps
          7.0 ms  0 s  2.3 ms  build check cache internal/cpu
          5.8 ms  0 s     0 s  build check cache internal/goarch
          5.2 ms  0 s   59 ms  build check cache unicode
          5.1 ms  0 s   65 ms  build check cache cmp
          5.0 ms  0 s   58 ms  build check cache internal/unsafeheader
          3.4 ms  0 s     0 s  build check cache internal/abi
          1.3 ms  0 s   56 ms  build check cache math
          810 µs  0 s  8.4 ms  build check cache internal/goexperiment
    "#]].assert_eq(&time);
    let what_if = ["--color", "never", "--cores", "8", "--memory", "1G", &id];
    expect![[r#"
        go build -trimpath -tags=other -o hello .
          measured   446 ms  2 CPUs  -p 2  peaks of 61 MiB
          predicted  434 ms  8 CPUs  -p 8  peaks of 61 MiB  -2.8 %

          With -p 8, the peaks of the tools add up to 61 MiB and fit in 1.0 GiB; the build takes 434 ms.
          A sum of peaks is that of tools that run at once in the simulation, without the go command.

          The model gives 436 ms for the build as it was (-2.3 %).
          Half of the measured predictions were within 9 % of the real time, and all within 14 %.
          The model assumes that nothing else uses the machine.
    "#]].assert_eq(&text(gotrace_what_if(&store, &what_if)));
    let unknown = gotrace_what_if(&store, &["--without", "example.com/none", &id]);
    assert_eq!(
        String::from_utf8_lossy(&unknown.stderr),
        "gotrace: no action of example.com/none ran in this build\n"
    );
    let none = gotrace_what_if(&store, &[&id]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("give at least one of --cores"));
    let tests = text(gotrace_explain(&store, &["--tests", &id]));
    assert!(tests.contains("no test was seen in this build"), "{tests}");
}
