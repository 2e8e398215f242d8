//! `gotrace explain` over stored builds: the causes as text, and retention of keys. The keys are those of a recording.

use std::path::Path;

use expect_test::expect;
use serde_json::Value;
use tests::run_gotrace;
use tracer_core::byte_string::ByteString;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Limits};
use tracer_core::model::{Action, KeyKind, Trace};
use tracer_user::history::{Store, store_builds};

use crate::harness::{NO_ENV, SECOND, gotrace_explain, moved, replayed};

/// The n-th run of a build that compiled and linked one package.
fn run(n: i64) -> Trace {
    moved(&replayed("cache-keys-go1.27"), n * SECOND)
}

/// Changes the beginning of a line of a key, and with it the key's ID.
fn change(trace: &mut Trace, kind: KeyKind, from: &str, to: &str) {
    let keys = trace.builds[0].keys.iter_mut();
    let mut changed = 0;
    for key in keys.filter(|it| it.kind == kind) {
        key.id = Some(format!("{kind:?}{to}"));
        for line in &mut key.lines {
            if let Some(rest) = line.to_str().strip_prefix(from) {
                *line = ByteString::from(format!("{to}{rest}"));
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 1, "{from}");
}

fn stored(trace: Trace, store: &Path) -> String {
    let finished = FinishedTrace::of(trace);
    store_builds(&finished, store).unwrap();
    let kept = history::builds(&finished).next().unwrap();
    kept.entry.id.to_string()
}

fn text(store: &Path, args: &[&str]) -> String {
    let output = gotrace_explain(store, args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn causes_are_printed_dearest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let first = stored(run(1), &store);
    expect![[r#"
        go build -trimpath -tags=other -o hello .
          1 package built, 1 program linked; 133 ms of CPU

           133 ms  the history has no earlier key: nothing to compare with
                   link example.com/wasm, build example.com/wasm
    "#]]
    .assert_eq(&text(&store, &[&first]));

    let mut second = run(2);
    change(
        &mut second,
        KeyKind::Build,
        "file main.go ",
        "file main.go new",
    );
    change(
        &mut second,
        KeyKind::Link,
        "packagefile example.com/wasm=",
        "packagefile example.com/wasm=new",
    );
    let second = stored(second, &store);
    expect![[r#"
        go build -trimpath -tags=other -o hello .
          1 package built, 1 program linked; 133 ms of CPU

           133 ms  main.go changed in example.com/wasm
                   build example.com/wasm
                   then link example.com/wasm
    "#]]
    .assert_eq(&text(&store, &[&second]));
    let of_package = text(&store, &[&second, "example.com/wasm"]);
    expect![[r#"
        go build -trimpath -tags=other -o hello .

          build example.com/wasm                                                                12 ms of CPU
            Compared with FIRST:
              main.go changed

          link example.com/wasm                                                                120 ms of CPU
            Compared with FIRST, only imports have a new content:
              example.com/wasm: main.go changed
    "#]]
    .assert_eq(&of_package.replace(&first, "FIRST"));

    // The same again: the nearest earlier key is the same one.
    let mut third = run(3);
    change(
        &mut third,
        KeyKind::Build,
        "file main.go ",
        "file main.go new",
    );
    change(
        &mut third,
        KeyKind::Link,
        "packagefile example.com/wasm=",
        "packagefile example.com/wasm=new",
    );
    let third = stored(third, &store);
    expect![[r#"
        go build -trimpath -tags=other -o hello .
          1 package built, 1 program linked; 133 ms of CPU

           120 ms  same inputs as in an earlier link: Go does not cache linked programs
                   link example.com/wasm

            12 ms  same inputs as in an earlier build, but not in the build cache
                   build example.com/wasm

          Done before: of 133 ms of CPU, 12 ms had been spent on the same inputs
           120 ms  a link, which Go does not cache, in 00000074-6aec-7ff7-8fc8-65466051b859
            12 ms  on a machine that is not known, in 00000074-6aec-7ff7-8fc8-65466051b859
    "#]]
    .assert_eq(&text(&store, &[&third]));
}

/// The n-th run, on this machine and with its own GOCACHE.
fn run_on(n: i64, host: &str, cache: &str) -> Trace {
    let mut trace = run(n);
    trace.host = Some(host.to_owned());
    let cache = ByteString::from(cache.to_owned());
    trace.builds[0].env.insert("GOCACHE".to_owned(), cache);
    trace
}

#[test]
fn work_that_had_been_done_before_is_found_and_summed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    stored(run_on(1, "one", "/cache"), &store);
    let deleted = stored(run_on(2, "one", "/cache"), &store);
    let other = stored(run_on(3, "one", "/other"), &store);
    let elsewhere = stored(run_on(4, "two", "/cache"), &store);
    for (id, expected) in [
        (&deleted, "12 ms  with the same GOCACHE"),
        (&other, "12 ms  on this machine, with another GOCACHE"),
        (&elsewhere, "12 ms  on another machine"),
    ] {
        let printed = text(&store, &[id]);
        assert!(printed.contains(expected), "{printed}");
        let head = "Done before: of 133 ms of CPU, 12 ms had been spent on the same inputs";
        assert!(printed.contains(head), "{printed}");
        assert!(
            printed.contains("120 ms  a link, which Go does not cache"),
            "{printed}"
        );
    }
    let advice = advised(&store);
    let period = &advice["period"];
    assert_eq!(
        (&period["n_builds"], &period["n_all"]),
        (&4.into(), &4.into())
    );
    assert_eq!(
        places(&advice),
        [
            ("fleet", 1),
            ("link", 3),
            ("same_cache", 1),
            ("same_machine", 1)
        ]
    );
    // All causes are cheaper than a second.
    assert_eq!(advice["rows"], Value::Array(Vec::new()));

    // The history of one machine does not contain the builds of others. All histories together show it.
    let connection = rusqlite::Connection::open(&store).unwrap();
    let forget = "UPDATE action_run SET place = NULL WHERE place IN ('fleet', 'link')";
    assert_eq!(connection.execute(forget, []).unwrap(), 4);
    let advice = advised(&store);
    assert_eq!(
        places(&advice),
        [
            ("fleet", 1),
            ("link", 1),
            ("same_cache", 1),
            ("same_machine", 1)
        ]
    );
}

#[test]
fn the_same_cache_is_found_behind_many_runs_on_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let first = stored(run_on(1, "one", "/cache"), &store);
    for n in 2..22 {
        stored(run_on(n, "two", "/cache"), &store);
    }
    let deleted = stored(run_on(22, "one", "/cache"), &store);
    let printed = text(&store, &[&deleted]);
    let expected = format!("12 ms  with the same GOCACHE, in {first}");
    assert!(printed.contains(&expected), "{printed}");
}

/// The n-th run, with this number of further packages. `version` is that of the sources of each.
fn many(n: i64, packages: usize, version: &str) -> Trace {
    let mut trace = run_on(n, "one", "/cache");
    let build = &mut trace.builds[0];
    let of_build = build.keys.iter().find(|it| it.kind == KeyKind::Build);
    let template = of_build.unwrap().clone();
    let action = build.actions[template.action as usize].clone();
    for n in 0..packages {
        let package = ByteString::from(format!("example.com/wasm/p{n}"));
        let index = u32::try_from(build.actions.len()).unwrap();
        build.actions.push(Action {
            package: Some(package.clone()),
            ..action.clone()
        });
        let mut key = template.clone();
        key.id = Some(format!("{version}-{n}-0123456789"));
        key.lines.push(format!("file p{n}.go {version}\n").into());
        key.package = package;
        key.action = index;
        build.keys.push(key);
    }
    trace
}

#[test]
fn each_of_many_packages_is_explained_and_found_again() {
    const N: usize = 450;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    stored(many(1, N, "one"), &store);
    let changed = stored(many(2, N, "two"), &store);
    let again = stored(many(3, N, "one"), &store);

    let explained = |id: &str| -> Value {
        let printed = text(&store, &[id, "--format", "json"]);
        serde_json::from_str(&printed).unwrap()
    };
    // No action is without an earlier key, however cheap it is.
    let document = explained(&changed);
    let actions = document.pointer("/explanation/actions").unwrap();
    let causes = actions.as_array().unwrap().iter();
    let of_package =
        causes.filter(|it| it["kind"] == "build" && it["package"] != "example.com/wasm");
    let causes: Vec<&str> = of_package.map(|it| it["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, vec!["changed"; N]);
    // All but the link are found again.
    let document = explained(&again);
    let done = document.pointer("/done_before/actions").unwrap();
    let places = done.as_array().unwrap().iter().map(|it| &it["place"]);
    assert_eq!(places.filter(|it| *it == "same_cache").count(), N + 1);

    // The history stores 200 causes of a build. The second build has more, and the advice reports that.
    let advice = advised(&store);
    assert_eq!(advice["n_builds_cut"], 1);
    assert_eq!(advice["period"]["n_builds"], 3);
    let store = store.to_str().unwrap();
    let args = ["advise", "--since", "1970-01-01", "--store", store];
    let output = run_gotrace(args.to_vec(), NO_ENV);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("1 build has 200 causes or more"),
        "{printed}"
    );
}

fn advised(store: &Path) -> Value {
    let store = store.to_str().unwrap();
    let args = [
        "advise",
        "--since",
        "1970-01-01",
        "--format",
        "json",
        "--store",
        store,
    ];
    let output = run_gotrace(args.to_vec(), NO_ENV);
    assert!(output.status.success(), "{output:?}");
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["advice"].take()
}

fn places(advice: &Value) -> Vec<(&str, u64)> {
    let sums = advice["done_before"].as_array().unwrap().iter();
    let sums = sums.map(|it| (it["place"].as_str().unwrap(), it["n"].as_u64().unwrap()));
    let mut sums: Vec<_> = sums.collect();
    sums.sort_unstable();
    sums
}

#[test]
fn a_package_that_did_not_run_is_an_error_and_a_build_without_keys_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let first = stored(run(1), &store);
    let output = gotrace_explain(&store, &[&first, "example.com/other"]);
    assert!(!output.status.success());
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(
        printed.contains("no action of example.com/other ran"),
        "{printed}"
    );

    let without = moved(&replayed("build-go1.27"), 2 * SECOND);
    let without = text(&store, &[&stored(without, &store)]);
    assert!(without.contains("no cache keys were recorded"), "{without}");
    let nothing = moved(&replayed("up-to-date-go1.27"), 3 * SECOND);
    let nothing = text(&store, &[&stored(nothing, &store)]);
    assert!(nothing.contains("No action ran"), "{nothing}");
}

#[test]
fn the_oldest_keys_are_deleted_first_and_their_builds_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let ids: Vec<String> = (1..=12).map(|n| stored(run(n), &store)).collect();
    let connection = rusqlite::Connection::open(&store).unwrap();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |it| it.get(0)).unwrap()
    };
    assert_eq!(
        (count("build"), count("build_key"), count("action_run")),
        (12, 12, 24)
    );
    assert_eq!(count("executed_action"), 24);
    // The newest keys stay readable.
    let enlarge = "UPDATE build_key SET packed = zeroblob(100000) WHERE position < 12";
    connection.execute(enlarge, []).unwrap();
    // A quarter of this limit holds five of these blobs and the newest keys.
    let limits = Limits {
        max_bytes: Some(4 * 550_000),
        ..Limits::default()
    };
    let mut open = Store::open(&store).unwrap();
    open.retain(limits, 0).unwrap();
    assert_eq!((count("build"), count("build_key")), (12, 6));
    assert_eq!((count("action_run"), count("unit")), (12, 2));
    // The first build has lost its keys.
    let first = text(&store, &[&ids[0]]);
    assert!(first.contains("no cache keys were recorded"), "{first}");
}
