//! Replays recordings of real builds with every toolchain. The results equal the first ones on any machine, and stay coherent if a
//! part is missing. `tests/recordings/README.md` describes how each was made.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use expect_test::{expect, expect_file};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sha2::{Digest as _, Sha256};
use tests::gotrace_command;
use tracer_core::byte_string::ByteString;
use tracer_core::correlate::{Context, Correlator};
use tracer_core::event::{Event, Lost};
use tracer_core::model::{ActionKey, Anomaly, Build, CallKind, KeyKind, Trace};
use tracer_core::recording::{Header, Reader};

/// Every recording, with its name.
fn recordings() -> Vec<(String, PathBuf)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let mut found: Vec<(String, PathBuf)> = fs::read_dir(dir)
        .expect("a directory of recordings")
        .map(|it| it.expect("an entry").path())
        .filter_map(|path| {
            let name = path
                .file_name()?
                .to_str()?
                .strip_suffix(".jsonl.gz")?
                .to_owned();
            Some((name, path))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 37, "recordings are missing: {found:?}");
    found
}

fn recording(name: &str) -> PathBuf {
    let all = recordings();
    let found = all.into_iter().find(|(it, _)| it == name);
    found.expect("a recording of this name").1
}

/// Chooses the events that stay. A simple generator is sufficient for that.
fn stays(seed: u64, kept_percent: u64) -> impl FnMut() -> bool {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % 100 < kept_percent
    }
}

fn read(path: &Path) -> (Header, Vec<Event>) {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader::open(BufReader::new(file))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = reader.header().clone();
    let events: Vec<Event> = reader.by_ref().collect();
    let summary = reader.summary();
    assert!(
        summary.damage.is_none(),
        "{}: {:?}",
        path.display(),
        summary.damage
    );
    (header, events)
}

fn correlate(header: &Header, events: impl IntoIterator<Item = Event>) -> Trace {
    let mut correlator = Correlator::new(Context {
        host: None,
        command: header.command.clone(),
        boot_to_wall_ns: header.boot_to_wall_ns,
        cpus: header.cpus,
        phases: true,
        renames: header.renames,
    });
    for event in events {
        correlator.apply(event);
    }
    correlator.finish()
}

/// The facts of a build, without its times.
fn facts(trace: &Trace) -> String {
    let mut out = String::new();
    for build in &trace.builds {
        write_facts(build, &mut out).expect("a string can be written to");
    }
    for anomaly in &trace.anomalies {
        writeln!(out, "! {anomaly:?}").expect("a string can be written to");
    }
    out
}

/// The modules of the compiled packages, with the numbers of packages.
fn modules(build: &Build) -> String {
    let mut packages: BTreeMap<String, BTreeSet<&ByteString>> = BTreeMap::new();
    for call in build
        .calls
        .iter()
        .filter(|it| it.kind == CallKind::Compile && !it.is_query)
    {
        let module = call.module.as_ref().map_or("-".to_owned(), |it| {
            let path = it.path.as_deref().unwrap_or("-");
            format!(
                "{:?} {path} {}",
                it.kind,
                it.version.as_deref().unwrap_or("-")
            )
        });
        packages.entry(module).or_default().extend(&call.package);
    }
    let n: BTreeMap<String, usize> = packages
        .into_iter()
        .map(|(module, it)| (module, it.len()))
        .collect();
    format!("{n:?}")
}

fn write_facts(build: &Build, out: &mut String) -> std::fmt::Result {
    let name = |it: &Option<tracer_core::byte_string::ByteString>| {
        it.as_ref().map_or("-".to_owned(), ToString::to_string)
    };
    let toolchain = &build.toolchain;
    writeln!(out, "go {}: {:?}", build.command.name, build.status)?;
    writeln!(out, "  argv {:?}", build.command.argv)?;
    writeln!(
        out,
        "  flags {:?}",
        build
            .command
            .flags
            .iter()
            .map(|it| (&it.name, &it.value, it.origin))
            .collect::<Vec<_>>()
    )?;
    writeln!(
        out,
        "  dir {} module {:?} nested {}",
        name(&build.dir),
        build.module,
        build.parent.is_some()
    )?;
    writeln!(
        out,
        "  toolchain {:?} {} {:?}/{:?} from {:?}",
        toolchain.version,
        name(&toolchain.goroot),
        toolchain.goos,
        toolchain.goarch,
        toolchain.switched_from
    )?;
    writeln!(out, "  goflags {:?}", build.goflags)?;
    if let Some(failure) = &build.failure {
        writeln!(
            out,
            "  failure {:?} {}",
            failure.class,
            name(&failure.package)
        )?;
    }
    writeln!(out, "  packages {:?}", build.packages)?;
    let mut actions: BTreeMap<String, u32> = BTreeMap::new();
    for action in &build.actions {
        *actions
            .entry(format!("{} {:?}", action.mode, action.outcome))
            .or_default() += 1;
    }
    writeln!(out, "  actions {actions:?}")?;
    let mut calls: BTreeMap<String, u32> = BTreeMap::new();
    let mut phases: BTreeMap<String, u32> = BTreeMap::new();
    for call in &build.calls {
        let query = if call.is_query { " query" } else { "" };
        *calls.entry(format!("{:?}{query}", call.kind)).or_default() += 1;
        if matches!(call.kind, CallKind::Compile | CallKind::Link) && !call.is_query {
            let names: Vec<&str> = call.phases.iter().map(|it| it.name.as_str()).collect();
            *phases
                .entry(format!("{:?} {}", call.kind, names.join(" ")))
                .or_default() += 1;
        }
    }
    writeln!(out, "  modules {}", modules(build))?;
    writeln!(out, "  calls {calls:?}")?;
    for (names, n) in phases {
        writeln!(out, "  {n} times {names}")?;
    }
    for key in &build.keys {
        let id = key.id.as_deref().unwrap_or("-");
        let (kind, package, n) = (key.kind.name(), &key.package, key.lines.len());
        let gaps = if key.has_gaps { " with gaps" } else { "" };
        writeln!(out, "  key of {kind} {package}: {id}, {n} lines{gaps}")?;
    }
    for output in &build.outputs {
        let artifact = output
            .artifact
            .as_ref()
            .map(|it| (it.size, &it.go_version, &it.main_package));
        writeln!(
            out,
            "  -> {} of {} {:?} {artifact:?}",
            output.path,
            name(&output.package),
            output.how
        )?;
    }
    for anomaly in &build.anomalies {
        writeln!(out, "  ! {anomaly:?}")?;
    }
    Ok(())
}

#[test]
fn a_recording_always_gives_the_same_builds() {
    for (name, path) in recordings() {
        let (header, events) = read(&path);
        let golden = format!("../recordings/{name}.facts");
        expect_file![golden].assert_eq(&facts(&correlate(&header, events)));
    }
}

/// All keys of a trace, by kind and package.
fn keys(trace: &Trace) -> BTreeMap<(KeyKind, &ByteString), &ActionKey> {
    let keys = trace.builds.iter().flat_map(|it| &it.keys);
    keys.map(|it| ((it.kind, &it.package), it)).collect()
}

/// The `go` command passes the ID of each action to the compiler and the linker. The test compares these IDs with hashes over the lines.
#[test]
fn the_lines_of_a_key_give_the_id_of_its_action() {
    let (header, events) = read(&recording("cache-keys-go1.27"));
    let trace = correlate(&header, events);
    let [build] = &trace.builds[..] else {
        panic!("one build");
    };
    let executed = build.actions.iter().filter(|it| !it.calls.is_empty());
    assert_eq!(build.keys.len(), executed.count());
    for key in &build.keys {
        assert!(!key.has_gaps && key.cut.is_empty(), "{key:?}");
        let mut hash = Sha256::new();
        key.lines.iter().for_each(|it| hash.update(it.as_bytes()));
        let computed = URL_SAFE_NO_PAD.encode(&hash.finalize()[..15]);
        assert_eq!(key.id, Some(computed), "{key:?}");
    }
}

/// The key of a test has the inputs before the run and those of the run, with the facts about each file.
#[test]
fn the_key_of_a_test_names_its_inputs() {
    let (header, events) = read(&recording("test-keys-go1.27"));
    let trace = correlate(&header, events);
    let found = keys(&trace);
    let (_, key) = found.iter().find(|it| it.0.0 == KeyKind::Test).unwrap();
    assert!(!key.has_gaps && key.cut.is_empty(), "{key:?}");
    let lines = key.lines.iter().map(ByteString::to_str);
    let lines: Vec<_> = lines.map(|it| it.trim_end().to_owned()).collect();
    expect![[r#"
        go1.27.3
        arguments ["-test.testlogfile" "-test.paniconexit0" "-test.timeout=10m0s"]
        directory /src/layers/top
        test binary VnEi7xvDeVMPky9cfaJo args ["-test.timeout=10m0s"] execcmd []
        test binary ZnjWw8ArkaYu8vRlzxb_ args ["-test.timeout=10m0s"] execcmd []
        looked up
        env GODEBUG <redacted:e06d-7033b8c47a7fdf02f7dffa06101b17b9>
        open /src/layers/top/testdata/input.txt d23ca8e64296385fe117575d1eccf42cd42160557832900ff3f00b3d4ddce6a5
        	stat 7 1a4 2026-01-02 00:00:00 +0000 UTC false
        env MODE <redacted:e06d-ca29e225a04f174449b497827853592d>
        stored
        env GODEBUG <redacted:e06d-7033b8c47a7fdf02f7dffa06101b17b9>
        open /src/layers/top/testdata/input.txt d23ca8e64296385fe117575d1eccf42cd42160557832900ff3f00b3d4ddce6a5
        	stat 7 1a4 2026-01-02 00:00:00 +0000 UTC false
        env MODE <redacted:e06d-ca29e225a04f174449b497827853592d>
    "#]]
    .assert_eq(&(lines.join("\n") + "\n"));
}

/// With lost records, a key is the true one or reports a gap.
#[test]
fn a_lost_line_is_never_a_different_key() {
    for name in ["cache-keys-go1.27", "test-keys-go1.27"] {
        lose_lines(name);
    }
}

fn lose_lines(name: &str) {
    let (header, events) = read(&recording(name));
    let trace = correlate(&header, events.clone());
    let whole = keys(&trace);
    let strategy = (any::<u64>(), 1..100u64);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&strategy, |(seed, kept_percent)| {
        let mut stays = stays(seed, kept_percent);
        let mut some: Vec<Event> = Vec::new();
        for event in &events {
            let lost = if let Event::Call(call) = event {
                (!stays()).then(|| Lost {
                    at: call.at,
                    kind: "call".to_owned(),
                    n: 1,
                })
            } else {
                None
            };
            some.push(lost.map_or_else(|| event.clone(), Event::Lost));
        }
        let trace = correlate(&header, some);
        for (unit, key) in keys(&trace) {
            let is_true = whole.get(&unit).is_some_and(|it| it.lines == key.lines);
            prop_assert!(is_true || key.has_gaps, "{:?}", key);
        }
        Ok(())
    });
    ran.expect("a lost line is reported");
}

#[test]
fn a_replay_always_prints_the_same_summary() {
    for (name, path) in recordings() {
        let output = gotrace_command([("COLUMNS", "100")])
            .args(["replay", "--color", "never"])
            .arg(&path)
            .output()
            .expect("gotrace runs");
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let golden = format!("../recordings/{name}.txt");
        expect_file![golden].assert_eq(&String::from_utf8_lossy(&output.stdout));
    }
}

/// Checks that the parts of a build are consistent, even if data is missing.
fn assert_coherent(trace: &Trace) {
    for build in &trace.builds {
        let mut owned = vec![false; build.calls.len()];
        for index in build.actions.iter().flat_map(|it| it.calls.iter()) {
            let owned = owned
                .get_mut(*index as usize)
                .expect("an action's runs are the build's");
            assert!(
                !std::mem::replace(owned, true),
                "a run belongs to one action"
            );
        }
        let parent = build.parent;
        assert!(parent.is_none_or(|it| trace.builds.iter().any(|build| build.process == it)));
        let running = build.calls.iter().filter(|it| it.end.is_none()).count();
        let unseen = build
            .anomalies
            .iter()
            .filter(|it| matches!(it, Anomaly::EndUnseen { .. }))
            .count();
        assert!(
            running <= unseen,
            "{running} runs did not end, {unseen} are reported"
        );
    }
}

#[test]
fn a_recording_with_gaps_gives_a_coherent_trace_that_reports_them() {
    let all: Vec<(Header, Vec<Event>)> = recordings().iter().map(|(_, path)| read(path)).collect();
    let strategy = (0..all.len(), any::<u64>(), 1..100u64, any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&strategy, |(index, seed, kept_percent, is_truncated)| {
        let (header, events) = &all[index];
        let n = if is_truncated {
            events.len() * usize::try_from(kept_percent).unwrap_or(0) / 100
        } else {
            events.len()
        };
        let mut stays = stays(seed, kept_percent);
        let some = events.iter().take(n).filter(|_| is_truncated || stays());
        let some: Vec<Event> = some.cloned().collect();
        assert_coherent(&correlate(header, some));
        Ok(())
    });
    ran.expect("no sequence of events breaks the correlator");
}
