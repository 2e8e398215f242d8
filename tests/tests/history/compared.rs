//! `gotrace compare`: two builds of a history.

use std::path::Path;
use std::process::Output;

use expect_test::expect;
use tests::run_gotrace;
use tracer_core::finished::FinishedTrace;
use tracer_user::history::store_builds;

use crate::harness::{NO_ENV, replayed};

/// A history of these recordings.
fn history(dir: &Path, recordings: &[&str]) -> String {
    let store = dir.join("history.db");
    for name in recordings {
        store_builds(&FinishedTrace::of(replayed(name)), &store).unwrap();
    }
    store.to_str().unwrap().to_owned()
}

fn compare(store: &str, args: &[&str]) -> Output {
    let words = ["compare", "--color", "never", "--store", store];
    run_gotrace([&words, args].concat(), NO_ENV)
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn builds_of_two_releases_are_compared_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    let store = history(dir.path(), &["build-go1.26", "build-go1.27"]);
    let output = text(compare(&store, &["go:1.26", "go:1.27"]));
    expect![[r#"
        before  01a1fbca-98d5-767f-b034-c0da2fd0b8aa  2026-11-21 01:48:42 UTC  go build -trimpath -o hello .
        after   01a1fbcb-0e60-7422-a9cd-1cdf072d29a8  2026-11-21 01:49:12 UTC  go build -trimpath -o hello .

          Time                  before    after  difference
          on the clock          22.6 s   25.7 s      +3.1 s  +14 %
          CPU                   11.3 s   11.1 s     -212 ms  -1.9 %
            of the go command   570 ms   540 ms      -30 ms  -5.3 %
          before the actions    529 ms   203 ms     -325 ms  -62 %
            loading packages    507 ms   187 ms     -320 ms  -63 %
          actions               21.9 s   25.4 s      +3.5 s  +16 %
          after the actions     145 ms   146 ms     +1.3 ms  +0.9 %
          largest process      301 MiB  280 MiB     -21 MiB  -7.2 %
          packages compiled         61       59          -2  -3.3 %

          CPU by tool
            compile   10.4 s  10.2 s  -169 ms
            link      120 ms  113 ms  -6.6 ms
            assemble  214 ms  209 ms  -5.0 ms

          Phases of all compilers
            be:compilefuncs             17.8 s  21.4 s  +3.6 s
            fe:parse                     3.6 s   3.9 s  +257 ms
            be:dumpobj                   1.1 s   1.3 s  +170 ms
            fe:devirtualize-and-inline   2.5 s   2.7 s  +124 ms
            fe:escapes                  735 ms  789 ms  +54 ms
            fe:pgo-load-profile          78 ms   60 ms  -18 ms
            fe:init                      72 ms   88 ms  +16 ms
            fe:loadsys                   80 ms   69 ms  -11 ms

          CPU by cause: not known, because one of the builds has no cache keys. `--detail cache-key` records
          them.

          Packages: 61 differ, the largest 10 differences
            59 packages that both compiled: 10.4 s → 10.4 s of CPU (-0.2 %)
            runtime                 5.5 s   5.4 s  -173 ms
            internal/godebug       104 ms       -  -104 ms
            reflect                959 ms   1.0 s  +65 ms
            internal/bisect         48 ms       -  -48 ms
            syscall                406 ms  438 ms  +32 ms
            time                   384 ms  414 ms  +29 ms
            internal/cpu            71 ms   44 ms  -26 ms
            internal/runtime/maps  186 ms  204 ms  +18 ms
            fmt                    277 ms  293 ms  +16 ms
            os                     549 ms  564 ms  +15 ms

          Compilation by module
            std               10.6 s  10.4 s  -172 ms
            example.com/wasm   15 ms   12 ms  -2.4 ms

          Output example.com/wasm  2.39 MB  2.34 MB  -54.6 kB  -2.3 %
            The bytes of the packages are not known: gotrace did not analyse this output, or an earlier
            version did.

          Settings
            GOCACHE  /var/cache/go-1.26.6 → /var/cache/go-1.27.3
            GOROOT   /usr/local/go1.26.6 → /usr/local/go1.27.3
            Go       go1.26.6 → go1.27.3

          No difference was seen in: source, machine
    "#]].assert_eq(&output);
    // A single build is compared with the one before it.
    let mut words = output.split_whitespace().skip_while(|it| *it != "after");
    let id = words.nth(1).unwrap();
    assert_eq!(text(compare(&store, &[id])), output);
}

#[test]
fn a_choice_without_a_build_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = history(dir.path(), &["build-go1.27"]);
    let none = error(&compare(&store, &["branch:main", "go:1.27"]));
    expect![[r#"
        gotrace: the history STORE: has no successful build of branch main with this project and the command `go build -trimpath -o hello .`
    "#]].assert_eq(&none.replace(&store, "STORE"));
    let alone = error(&compare(&store, &["go:1.27"]));
    expect![[r#"
        gotrace: the history STORE: has no successful build before this one with this project and the command `go build -trimpath -o hello .`
    "#]].assert_eq(&alone.replace(&store, "STORE"));
    let wrong = compare(&store, &["main"]);
    assert!(error(&wrong).contains("branch:NAME"), "{wrong:?}");
}
