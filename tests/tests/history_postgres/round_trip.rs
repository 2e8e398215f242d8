//! Delivered builds equal the stored ones, and both histories give the same answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use tracer_core::finished::FinishedTrace;

use rusqlite::Connection;
use tests::run_gotrace;
use tracer_user::history::{Location, store_builds};

use crate::harness::{
    SECOND, gotrace_builds, gotrace_explain, gotrace_show, listed, moved, recordings, replayed,
};
use crate::server::{Machine, Server, psql};

fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_central_history_lists_and_shows_every_recorded_build_as_the_file_does() {
    let server = Server::start();
    let machine = Machine::new();
    // An earlier run of a build with cache keys.
    let earlier = moved(&replayed("cache-keys-go1.27"), SECOND);
    store_builds(&FinishedTrace::of(earlier), &machine.path()).unwrap();
    for name in recordings() {
        store_builds(&FinishedTrace::of(replayed(&name)), &machine.path()).unwrap();
    }
    let counts = machine.deliver(server.address("admin"));
    let (file, central) = (machine.path(), server.url("admin"));
    let central = Path::new(&central);
    let all = listed(&file, &[]);
    assert!(all.len() > 15, "{}", all.len());
    assert_eq!(counts.sent, all.len() as u64);
    assert_eq!((counts.failed, counts.refused, counts.waiting), (0, 0, 0));
    for args in [
        &["--limit", "0"][..],
        &["--limit", "3"],
        &["--status", "failed"],
        &["--project", "wasm"],
        &["--project", "WASM"],
        &["--project", "w_sm"],
        &["--project", "example.com/hello"],
        &["--target", "libtwice.so"],
        &["--since", "2001-01-01"],
        &["--until", "2100-01-01"],
        &["--branch", "main"],
    ] {
        let args = [args, &["--format", "json"]].concat();
        let [a, b] = [&file, central].map(|it| printed(gotrace_builds(it, &args)));
        assert_eq!(a, b, "{args:?}");
    }
    for build in &all {
        let id = build["id"].as_str().unwrap();
        for args in [["--format", "json", id], ["--color", "never", id]] {
            let [a, b] = [&file, central].map(|it| printed(gotrace_show(it, &args)));
            assert_eq!(a, b, "{id}");
        }
        let [a, b] = [&file, central].map(|it| printed(gotrace_explain(it, &[id])));
        assert_eq!(a, b, "{id}");
    }
    for wrong in ["f", "0"] {
        let [a, b] = [&file, central].map(|it| gotrace_show(it, &[wrong]));
        assert_eq!(a.status.code(), b.status.code());
        let why = |it: &Output| {
            let printed = String::from_utf8_lossy(&it.stderr).into_owned();
            printed.split(" has ").nth(1).map(ToOwned::to_owned)
        };
        assert_eq!(why(&a), why(&b));
    }
}

#[test]
fn both_histories_have_the_same_columns() {
    let server = Server::start();
    let prepared = run_gotrace(["store", "prepare", &server.url("admin")], [("A", "B")]);
    assert!(prepared.status.success(), "{prepared:?}");
    let machine = Machine::new();
    drop(machine.store());
    let connection = Connection::open(machine.path()).unwrap();
    for table in ["build", "target", "detail"] {
        let mut statement = connection
            .prepare("SELECT name, type, \"notnull\" FROM pragma_table_info($1)")
            .unwrap();
        let ours: BTreeMap<String, String> = statement
            .query_map([table], |row| {
                let (name, kind, is_required): (String, String, bool) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                let kind = match kind.as_str() {
                    "INTEGER" => "bigint",
                    "TEXT" => "text",
                    "BLOB" => "bytea",
                    other => panic!("{other}"),
                };
                let null = if is_required { "NO" } else { "YES" };
                let collation = if kind == "text" { "C" } else { "" };
                Ok((name, format!("{kind}|{null}|{collation}")))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let theirs = server.query(&format!(
            "SELECT column_name, data_type, is_nullable, collation_name FROM information_schema.columns \
             WHERE table_schema = 'gotrace' AND table_name = '{table}' AND column_name <> 'tenant'"
        ));
        let theirs: BTreeMap<String, String> = theirs
            .lines()
            .map(|line| line.split_once('|').unwrap())
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect();
        assert_eq!(ours, theirs, "{table}");
    }
}

#[test]
fn the_printed_schema_equals_the_created_one() {
    let server = Server::start();
    let printed = printed(run_gotrace(["store", "schema"], [("A", "B")]));
    let output = psql(&server.url("admin"), &printed);
    assert!(output.status.success(), "{output:?}");
    let machine = Machine::new();
    store_builds(
        &FinishedTrace::of(replayed("build-go1.27")),
        &machine.path(),
    )
    .unwrap();
    machine.deliver(server.address("admin"));
    assert_eq!(server.count("build"), 1);
    assert_eq!(server.count("target"), 1);
    assert_eq!(server.count("detail"), 1);
    let place = Location::from(std::ffi::OsString::from(server.url("admin")));
    let entries = place.read(|it| it.list(&tracer_user::history::Filter::default()));
    assert_eq!(entries.unwrap().0.len(), 1);
}

#[test]
fn a_repeated_delivery_changes_nothing() {
    let server = Server::start();
    let machine = Machine::new();
    store_builds(
        &FinishedTrace::of(replayed("generate-go1.27")),
        &machine.path(),
    )
    .unwrap();
    machine.deliver(server.address("admin"));
    let rows = || {
        ["build", "target", "detail"].map(|it| {
            server.query(&format!(
                "SELECT md5(string_agg(t::text, '' ORDER BY t::text)), count(*) FROM gotrace.{it} t"
            ))
        })
    };
    let before = rows();
    // Simulates a kill between delivery and its acknowledgement.
    let forget = || {
        Connection::open(machine.path())
            .unwrap()
            .execute("INSERT INTO undelivered SELECT id, 1 FROM build", [])
            .unwrap()
    };
    assert!(forget() > 1);
    machine.deliver(server.address("admin"));
    assert_eq!(rows(), before);
    // Another machine delivers the same builds: their recording was replayed there.
    let other = Machine::new();
    store_builds(
        &FinishedTrace::of(replayed("generate-go1.27")),
        &other.path(),
    )
    .unwrap();
    other.deliver(server.address("admin"));
    assert_eq!(rows(), before);
}
