use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::byte_string::ByteString;
use crate::event::{Artifact, ProcKey, Status, Tgid, Usage};
use crate::finished::FinishedTrace;
use crate::model::{
    Anomaly, Build, Command, EventCounts, Flag, FlagOrigin, Installed, Output, Packages, SCHEMA,
    Setting, State, Toolchain,
};
use crate::origin::Ci;

const BOOT: i64 = 1_795_183_500_000_000_000;

type FlagList<'a> = &'a [(&'a str, Option<&'a str>)];

/// A build that put `example.com/app/cmd/api` into `/out/api`.
pub(crate) fn build(tgid: u32, start: u64, flags: &[(&str, Option<&str>)]) -> Build {
    let flag = |(name, value): &(&str, Option<&str>)| Flag {
        name: (*name).to_owned(),
        value: value.map(ByteString::from),
        origin: FlagOrigin::Argv,
    };
    let artifact = Artifact {
        size: 1000,
        sha256: "00".to_owned(),
        main_package: Some("example.com/app/cmd/api".to_owned()),
        ..Artifact::default()
    };
    Build {
        process: ProcKey {
            tgid: Tgid(tgid),
            born: Ktime(start),
        },
        parent: None,
        above: Vec::new(),
        command: Command {
            name: "build".to_owned(),
            argv: ["go", "build", "./..."].map(ByteString::from).to_vec(),
            flags: flags.iter().map(flag).collect(),
            packages: vec!["./...".into()],
        },
        dir: Some("/src".into()),
        toolchain: Toolchain {
            version: Some("go1.27.3".to_owned()),
            goos: Some("linux".to_owned()),
            goarch: Some("amd64".to_owned()),
            ..Toolchain::default()
        },
        goflags: Setting::default(),
        env: BTreeMap::from([
            ("GOAMD64".to_owned(), "v1".into()),
            ("CGO_ENABLED".to_owned(), "1".into()),
        ]),
        ci: None,
        trace_context: None,
        checkout: None,
        place: None,
        module: Some("example.com/app".to_owned()),
        start: Ktime(start),
        end: Some(Ktime(start + 2_000_000_000)),
        status: Some(Status::Code(0)),
        failure: None,
        usage: Usage::default(),
        packages: Packages::default(),
        actions: Vec::new(),
        keys: Vec::new(),
        imports: None,
        calls: Vec::new(),
        stages: Vec::new(),
        outputs: vec![Output {
            path: "/out/api".into(),
            package: Some("example.com/app/cmd/api".into()),
            how: Installed::Renamed,
            at: Ktime(start),
            artifact: Some(artifact),
            unread: None,
        }],
        anomalies: Vec::new(),
    }
}

fn trace(builds: Vec<Build>) -> Trace {
    Trace {
        schema: SCHEMA.to_owned(),
        host: None,
        command: vec!["make".into()],
        start: Ktime(0),
        end: Ktime(10_000_000_000),
        boot_to_wall_ns: BOOT,
        cpus: 2,
        status: Some(Status::Code(0)),
        usage: Usage::default(),
        builds,
        tools: Vec::new(),
        events: EventCounts::default(),
        anomalies: Vec::new(),
    }
}

fn kept(builds: Vec<Build>) -> Vec<Kept> {
    super::builds(&FinishedTrace::of(trace(builds))).collect()
}

fn entry(build: Build) -> Entry {
    kept(vec![build]).remove(0).entry
}

fn baseline(flags: &[(&str, Option<&str>)]) -> Baseline {
    let entry = entry(build(1, 1, flags));
    entry.targets[0].baseline.clone().unwrap()
}

#[test]
fn an_id_is_a_version_7_uuid_with_the_time_of_start_and_always_the_same() {
    let second = 1_000_000_000;
    let [first, second] = [build(7, 0, &[]), build(7, second, &[])].map(|it| entry(it).id);
    let again = entry(build(7, 0, &[])).id;
    assert_eq!(first, again);
    // 1 795 183 500 000 ms are 0x1a1_f946_5ae0.
    assert_eq!(format!("{:x}", BOOT / 1_000_000), "1a1f9465ae0");
    assert!(first.as_str().starts_with("01a1f946-5ae0-7"), "{first}");
    assert!(first < second, "{first} {second}");
    assert_ne!(first, entry(build(8, 0, &[])).id, "another process");
    assert_eq!(first.as_str().parse(), Ok(first));
}

#[test]
fn every_observer_of_a_build_computes_the_same_id() {
    let seen = trace(vec![build(7, 1_234_567, &[])]);
    let mut elsewhere = seen.clone();
    elsewhere.boot_to_wall_ns += 40_000;
    elsewhere.builds[0].start = Ktime(1_300_000);
    let id = |trace: &Trace| BuildId::of(trace, trace.builds[0].process);
    assert_eq!(id(&seen), id(&elsewhere));
    elsewhere.boot_to_wall_ns += 60_000_000_000;
    assert_ne!(id(&seen), id(&elsewhere), "after another boot");
}

#[test]
fn a_prefix_of_an_id_may_lack_dashes_and_have_capitals() {
    let canonical = |text: &str| text.parse::<IdPrefix>().map(|it| it.as_str().to_owned());
    assert_eq!(canonical("01A1F8D165E07"), Ok("01a1f8d1-65e0-7".to_owned()));
    assert_eq!(canonical("01a1f8d1-"), Ok("01a1f8d1".to_owned()));
    let id = entry(build(7, 0, &[])).id;
    assert_eq!(canonical(id.as_str()), Ok(id.as_str().to_owned()));
    for wrong in ["", "-", "latest", "01a1g", &"0".repeat(33), "%", "\u{0}"] {
        assert_eq!(canonical(wrong), Err(InvalidBuildId), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn every_prefix_of_an_id_finds_it_and_nothing_else(tgid: u32, start in 0u64..1 << 60, n in 1usize..36) {
        let id = entry(build(tgid, start, &[])).id;
        let prefix: IdPrefix = id.short(n).parse().unwrap();
        prop_assert!(prefix.as_str() <= id.as_str() && id.as_str() < prefix.end().as_str());
        let other = entry(build(tgid ^ 1, start, &[])).id;
        let is_found = prefix.as_str() <= other.as_str() && other.as_str() < prefix.end().as_str();
        prop_assert_eq!(is_found, other.as_str().starts_with(prefix.as_str()));
    }
}

#[test]
fn a_library_is_not_compared_with_its_header() {
    let mut build = build(1, 1, &[("buildmode", Some("c-shared"))]);
    let library = build.outputs[0].artifact.as_mut().unwrap();
    library.format = Some("ELF".to_owned());
    let mut header = build.outputs[0].clone();
    header.path = "/out/api.h".into();
    header.artifact = Some(Artifact::default());
    build.outputs.push(header);
    let [library, header] = &entry(build).targets[..] else {
        panic!("not two targets")
    };
    assert!(library.baseline.is_some() && header.baseline.is_none());
    assert_eq!(library.package, header.package);
}

#[test]
fn a_nested_build_names_its_parent_and_each_is_a_trace_of_its_own() {
    let outer = build(10, 1000, &[]);
    let mut inner = build(11, 2000, &[]);
    inner.parent = Some(outer.process);
    let kept = kept(vec![outer, inner]);
    assert_eq!(kept[0].entry.parent, None);
    assert_eq!(kept[1].entry.parent, Some(kept[0].entry.id.clone()));
    for kept in &kept {
        assert_eq!(kept.trace.builds.len(), 1);
        assert_eq!(kept.trace.command, kept.trace.builds[0].command.argv);
        // The part of a part is the same: what was stored can be stored again.
        let again: Vec<Kept> = super::builds(&FinishedTrace::of(kept.trace.clone())).collect();
        assert_eq!(again[0].entry.id, kept.entry.id);
        assert_eq!(again[0].trace, kept.trace);
    }
}

#[test]
fn a_build_that_is_taken_out_takes_all_of_it_along() {
    let mut finished = FinishedTrace::of(trace(vec![build(10, 1000, &[]), build(11, 2000, &[])]));
    let stays = finished.builds().last().unwrap().entry.id.clone();
    finished.retain(|it| it.id == stays);
    let builds: Vec<_> = finished.builds().collect();
    let [only] = builds[..] else {
        panic!("{builds:?}")
    };
    assert_eq!(only.entry.id, stays);
    assert_eq!(only.build.process, only.report.process);
    assert_eq!(only.build.process.tgid, Tgid(11));
    assert_eq!(finished.report().builds.len(), 1);
}

#[test]
fn what_was_packed_is_unpacked_and_nothing_else_is() {
    let trace = trace(vec![build(1, 1, &[])]);
    let packed = pack(&trace).unwrap();
    assert_eq!(unpack(&packed).unwrap(), trace);
    assert!(unpack(b"").is_err());
    assert!(unpack(&packed[..packed.len() - 9]).is_err());
    assert!(unpack(b"not gzip at all").is_err());
}

#[test]
fn a_build_ends_in_one_of_four_ways() {
    let state = |change: fn(&mut Build)| {
        let mut build = build(1, 1, &[]);
        change(&mut build);
        entry(build).state
    };
    assert_eq!(state(|_| {}), State::Succeeded);
    assert_eq!(state(|it| it.status = Some(Status::Code(1))), State::Failed);
    assert_eq!(
        state(|it| it.status = Some(Status::Signal(9))),
        State::Failed
    );
    assert_eq!(state(|it| it.status = None), State::Unknown);
    assert_eq!(entry(build(1, 1, &[])).running().state, State::Running);
}

#[test]
fn losses_are_counted_and_texts_fit_into_a_database() {
    let mut it = build(1, 1, &[]);
    it.anomalies = vec![
        Anomaly::Lost {
            kind: "exec".to_owned(),
            n: 7,
        },
        Anomaly::Unreadable { n: 2 },
        Anomaly::InstallUnseen { path: "/x".into() },
    ];
    it.dir = Some(ByteString::from(&b"/a\0b\xff"[..]));
    it.command.argv = vec!["ä".repeat(100_000).into()];
    let entry = entry(it);
    assert_eq!((entry.lost, entry.anomalies), (9, 3));
    assert_eq!(entry.dir.as_deref(), Some("/a\u{fffd}b\u{fffd}"));
    assert!(entry.command_line.len() <= 4096);
}

#[test]
fn a_change_of_the_program_changes_the_baseline() {
    let plain = baseline(&[]);
    assert_eq!(plain.level.as_deref(), Some("v1"));
    let different: &[&[(&str, Option<&str>)]] = &[
        &[("race", None)],
        &[("tags", Some("netgo"))],
        &[("ldflags", Some("-s"))],
        &[("ldflags", Some("-w"))],
        &[("gcflags", Some("all=-N -l"))],
        &[("buildmode", Some("pie"))],
        &[("trimpath", Some("true"))],
        &[("cover", None)],
        &[("pgo", Some("/src/default.pgo"))],
    ];
    let mut ids: Vec<BaselineId> = different.iter().map(|it| baseline(it).id()).collect();
    ids.push(plain.id());
    let n = ids.len();
    ids.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    ids.dedup();
    assert_eq!(ids.len(), n);
}

/// The baseline of a build after this change.
fn baseline_of(change: impl Fn(&mut Build)) -> Baseline {
    let mut build = build(1, 1, &[]);
    change(&mut build);
    entry(build).targets[0].baseline.clone().unwrap()
}

#[test]
fn the_minor_version_of_go_is_part_of_the_baseline_and_the_patch_is_not() {
    let with = |version: &str| baseline_of(|it| it.toolchain.version = Some(version.to_owned()));
    assert_eq!(with("go1.27.3").go.as_deref(), Some("go1.27"));
    assert_eq!(with("go1.27.3").id(), with("go1.27.9").id());
    assert_ne!(with("go1.27.3").id(), with("go1.26.3").id());
    assert_eq!(with("unreadable").go, None);
}

#[test]
fn a_stripped_file_is_not_compared_with_one_that_has_symbols() {
    let analysed = |stripped: bool| {
        baseline_of(|it| {
            let artifact = it.outputs[0].artifact.as_mut().unwrap();
            let anatomy = crate::event::Anatomy {
                stripped,
                ..Default::default()
            };
            artifact.anatomy = Some(Box::new(anatomy));
        })
    };
    assert_eq!(analysed(false).id(), baseline(&[]).id());
    assert_ne!(analysed(true).id(), analysed(false).id());
    let temporary = baseline_of(|it| it.outputs[0].how = Installed::Temporary);
    assert!(temporary.flags.contains("strip"));
}

#[test]
fn the_class_of_the_branch_is_part_of_the_baseline() {
    let on = |branch: Option<&str>, change: Option<&str>| {
        let baseline = baseline_of(|it| {
            it.ci = Some(Ci {
                branch: branch.map(ToOwned::to_owned),
                change: change.map(ToOwned::to_owned),
                ..Ci::default()
            });
        });
        (baseline.branch, baseline.id())
    };
    for (branch, class) in [
        ("main", BranchClass::Default),
        ("develop", BranchClass::Default),
        ("release/1.2", BranchClass::Release),
        ("release-branch.go1.27", BranchClass::Release),
        ("v1.2", BranchClass::Release),
        ("1.2.x", BranchClass::Release),
        ("fix", BranchClass::Change),
        ("v2", BranchClass::Change),
        ("feature/main", BranchClass::Change),
    ] {
        assert_eq!(on(Some(branch), None).0, Some(class), "{branch}");
    }
    assert_eq!(on(Some("main"), Some("7")).0, Some(BranchClass::Change));
    assert_eq!(on(None, None).0, None);
    assert_eq!(on(Some("fix"), None).1, on(Some("other"), None).1);
    assert_ne!(on(Some("fix"), None).1, on(Some("main"), None).1);
    assert_ne!(on(None, None).1, on(Some("main"), None).1);
}

#[test]
fn only_a_whole_hash_is_a_commit() {
    let of = |revision: &str| {
        let mut build = build(1, 1, &[]);
        build.ci = Some(Ci {
            revision: Some(revision.to_owned()),
            ..Ci::default()
        });
        entry(build).commit().map(ToOwned::to_owned)
    };
    let hash = "5a".repeat(20);
    assert_eq!(of(&hash), Some(hash));
    assert_eq!(of("HEAD"), None);
    assert_eq!(of("5a5a5a5"), None);
}

#[test]
fn other_changes_do_not_change_the_baseline() {
    let same: &[(FlagList<'_>, FlagList<'_>)] = &[
        (&[], &[("v", None), ("p", Some("4"))]),
        (&[], &[("race", Some("false"))]),
        (&[], &[("race", None), ("race", Some("false"))]),
        (&[], &[("ldflags", Some("-X main.version=1.2"))]),
        (&[("tags", Some("a,b"))], &[("tags", Some("b a"))]),
    ];
    for (one, other) in same {
        assert_eq!(
            baseline(one).id(),
            baseline(other).id(),
            "{one:?} {other:?}"
        );
    }
}

#[test]
fn one_name_is_not_mistaken_for_two() {
    let of = |project: &str, package: &str| Baseline {
        project: Some(project.to_owned()),
        package: package.to_owned(),
        ..baseline(&[])
    };
    assert_ne!(of("ab", "c").id(), of("a", "bc").id());
    let tags = |tags: &[&str]| Baseline {
        tags: tags.iter().map(|it| (*it).to_owned()).collect(),
        ..baseline(&[])
    };
    assert_ne!(tags(&["a", "b"]).id(), tags(&["ab"]).id());
}

fn aged() -> impl Strategy<Value = Vec<Aged>> {
    let one = (0i64..1000, 0u64..100).prop_map(|(started_ns, bytes)| Aged { started_ns, bytes });
    prop::collection::vec(one, 0..60).prop_map(|mut builds| {
        builds.sort_by_key(|it| it.started_ns);
        builds
    })
}

proptest! {
    #[test]
    fn no_more_of_the_oldest_builds_are_deleted_than_necessary(
        builds in aged(),
        overhead in 0u64..500,
        max_age_ns in prop::option::of(0u64..1200),
        max_bytes in prop::option::of(0u64..3000),
    ) {
        let now = 1000;
        let used = |rest: &[Aged]| overhead + rest.iter().map(|it| it.bytes).sum::<u64>();
        let too_old = |it: &Aged| max_age_ns.is_some_and(|age| it.started_ns < now - i64::try_from(age).unwrap());
        let too_much = |rest: &[Aged]| max_bytes.is_some_and(|limit| used(rest) > limit);
        let limits = Limits { max_age_ns, max_bytes };
        let n = n_to_delete(builds.iter().copied(), used(&builds), limits, now);
        let rest = &builds[n..];
        prop_assert!(rest.is_empty() || !too_much(rest));
        prop_assert!(!rest.iter().any(too_old));
        // With one more build kept, a limit would be exceeded.
        if n > 0 {
            prop_assert!(too_old(&builds[n - 1]) || too_much(&builds[n - 1..]));
        }
        if max_age_ns.is_none() && max_bytes.is_none() {
            prop_assert_eq!(n, 0);
        }
    }
}

#[test]
fn an_entry_names_the_origin_of_its_build() {
    let mut build = build(100, 1_000_000_000, &[]);
    build.ci = Some(Ci {
        system: "github".to_owned(),
        repository: Some("acme/app".to_owned()),
        branch: Some("fix\0".to_owned()),
        attempt: Some("2".to_owned()),
        ..Ci::default()
    });
    let trace = trace(vec![build]);
    let context = Entry::of(&trace, &trace.builds[0]).context;
    assert_eq!(context.ci_system.as_deref(), Some("github"));
    assert_eq!(context.repository.as_deref(), Some("acme/app"));
    assert_eq!(context.branch.as_deref(), Some("fix\u{fffd}"));
    assert_eq!(context.ci_attempt.as_deref(), Some("2"));
    assert_eq!((context.change, context.host), (None, None));
}
