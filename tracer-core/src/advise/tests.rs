use super::*;
use crate::explain::{Change, Input, InputKind};

const SECOND: u64 = 1_000_000_000;

fn id(n: u32) -> BuildId {
    format!("019ab12f-3c44-7000-8000-{n:012x}").parse().unwrap()
}

fn changed(package: Option<&str>, kind: InputKind, name: &str, from: &str, to: &str) -> RootCause {
    RootCause::Changed {
        package: package.map(str::to_owned),
        changes: vec![Change {
            input: Input {
                kind,
                name: (!name.is_empty()).then(|| name.to_owned()),
            },
            before: Some(from.to_owned()),
            after: Some(to.to_owned()),
        }],
    }
}

/// A build whose causes took this many seconds.
fn build(n: u32, host: &str, causes: Vec<(RootCause, u64)>) -> BuildCauses {
    let causes = causes.into_iter().map(|(cause, seconds)| StoredCause {
        cause,
        n_actions: 2,
        cpu_ns: seconds * SECOND,
    });
    BuildCauses {
        build: id(n),
        project: Some("example.com/p".to_owned()),
        host: Some(host.to_owned()),
        commit: Some("c".repeat(40)),
        causes: causes.collect(),
    }
}

fn known(reason: Reason, pattern: Option<Pattern>) -> KnownCause {
    KnownCause { reason, pattern }
}

fn rows(builds: &[BuildCauses]) -> Vec<(KnownCause, Vec<String>, u64, u64)> {
    let cpu = builds.iter().flat_map(|it| &it.causes).map(|it| it.cpu_ns);
    let period = Period {
        cpu_ns: cpu.sum(),
        ..Period::default()
    };
    let rows = advise(period, builds, Vec::new()).rows.into_iter();
    rows.map(|it| (it.known, it.subject, it.cpu_ns / SECOND, it.n_builds))
        .collect()
}

#[test]
fn causes_of_one_kind_are_one_row_and_cheap_ones_are_left_out() {
    let date = |n: u32| {
        changed(
            None,
            InputKind::LinkVariable,
            "main.date",
            "a",
            &n.to_string(),
        )
    };
    let cheap = changed(Some("q"), InputKind::File, "b.go", "a", "b");
    let builds = [
        build(1, "one", vec![(date(1), 5), (cheap.clone(), 0)]),
        build(2, "two", vec![(date(2), 6)]),
        build(3, "two", vec![(RootCause::Forced, 200)]),
    ];
    let main_date = vec!["main.date".to_owned()];
    assert_eq!(
        rows(&builds),
        [
            (known(Reason::Forced, None), vec![], 200, 1),
            (known(Reason::LinkValue, None), main_date, 11, 2),
        ]
    );
    let advice = advise(Period::default(), &builds, Vec::new());
    assert_eq!((advice.rows[1].n_hosts, advice.rows[1].n_actions), (2, 4));
    assert_eq!(advice.rows[1].builds, [id(2), id(1)]);
}

#[test]
fn a_change_and_the_change_back_alternate() {
    let go = |from: &str, to: &str| changed(None, InputKind::Release, "", from, to);
    let there = build(1, "h", vec![(go("go1.26", "go1.27"), 5)]);
    let back = build(2, "h", vec![(go("go1.27", "go1.26"), 5)]);
    let step = vec!["go1.26 → go1.27".to_owned()];
    assert_eq!(
        rows(std::slice::from_ref(&there)),
        [(known(Reason::Toolchain, None), step.clone(), 5, 1)]
    );
    assert_eq!(
        rows(&[there, back]),
        [(
            known(Reason::Toolchain, Some(Pattern::Alternates)),
            step,
            10,
            2
        )]
    );
}

#[test]
fn a_file_that_differs_in_builds_of_one_commit_is_a_row_of_its_own() {
    let file = |n: u32| changed(Some("p"), InputKind::File, "gen.go", "a", &n.to_string());
    let builds: Vec<BuildCauses> = (0..3).map(|n| build(n, "h", vec![(file(n), 4)])).collect();
    let subject = vec!["p: gen.go".to_owned()];
    assert_eq!(
        rows(&builds),
        [(
            known(Reason::Sources, Some(Pattern::VaryingFile)),
            subject,
            12,
            3
        )]
    );
    // Two builds may be one edit; without a commit, nothing is known.
    let package = vec!["p".to_owned()];
    assert_eq!(
        rows(&builds[..2]),
        [(known(Reason::Sources, None), package.clone(), 8, 2)]
    );
    let unknown: Vec<BuildCauses> = builds
        .into_iter()
        .map(|it| BuildCauses { commit: None, ..it })
        .collect();
    assert_eq!(
        rows(&unknown),
        [(known(Reason::Sources, None), package, 12, 3)]
    );
}

#[test]
fn every_reason_has_a_title() {
    let known = Reason::ALL.map(|reason| KnownCause {
        reason,
        pattern: None,
    });
    let titles: BTreeSet<&str> = known.iter().map(|it| it.title()).collect();
    assert_eq!(titles.len(), Reason::ALL.len());
}
