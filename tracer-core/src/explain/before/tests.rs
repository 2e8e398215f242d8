use super::super::explain;
use super::super::tests::{build, id, key, past};
use super::*;
use crate::history::ActionTimes;
use crate::model::{ActionKey, Flag, FlagOrigin};

fn cache(host: &str, path: &str) -> CacheLocation {
    CacheLocation {
        host: Some(host.to_owned()),
        container: None,
        path: Some(path.to_owned()),
    }
}

fn run(n: u32, cache: CacheLocation, ended_ns: i64) -> EarlierRun {
    EarlierRun {
        build: id(n),
        cache,
        ended_ns,
    }
}

/// Each took 1 ms and began at 100 ns.
fn stored(build: &Build) -> Vec<StoredKey> {
    let stored = build.keys.iter().map(|key| StoredKey {
        unit: Unit::of(build, key),
        key: key.clone(),
        has_failed: false,
        times: ActionTimes {
            cpu_ns: 1_000_000,
            started_ns: Some(100),
            ended_ns: Some(200),
        },
    });
    stored.collect()
}

fn done(build: &Build, runs: &[EarlierRun], earlier: &[Vec<ActionKey>]) -> DoneBefore {
    let keys = stored(build);
    let of_keys = keys.iter().filter_map(|it| {
        let id = it.key.id.clone().filter(|_| !runs.is_empty())?;
        Some(((it.unit.clone(), id), runs.to_vec()))
    });
    let past = past(earlier);
    let present = Present {
        build,
        keys: &keys,
        cache: &cache("here", "/cache"),
    };
    done_before(present, &of_keys.collect(), &explain(build, &past), &past)
}

fn one(kind: KeyKind) -> Build {
    build(vec![key(kind, 0, "p", "same", &["file a.go A"])])
}

fn place(build: &Build, runs: &[EarlierRun]) -> Vec<(Place, BuildId)> {
    let done = done(build, runs, &[]);
    assert_eq!(done.known_cpu_ns, 1_000_000);
    let actions = done.actions.into_iter();
    actions.map(|it| (it.place, it.by)).collect()
}

#[test]
fn the_place_is_that_of_the_nearest_earlier_run() {
    let build = one(KeyKind::Build);
    let elsewhere = run(1, cache("there", "/cache"), 50);
    let other_cache = run(2, cache("here", "/other"), 50);
    let same_cache = run(3, cache("here", "/cache"), 50);
    let not_ended = run(4, cache("here", "/cache"), 150);
    let not_known = EarlierRun {
        cache: CacheLocation::default(),
        ..run(5, CacheLocation::default(), 50)
    };
    let all = [&elsewhere, &other_cache, &same_cache, &not_ended];
    for (runs, expected) in [
        (vec![], vec![]),
        (vec![elsewhere.clone()], vec![(Place::Fleet, id(1))]),
        (
            vec![elsewhere.clone(), other_cache.clone()],
            vec![(Place::SameMachine, id(2))],
        ),
        (
            all.map(Clone::clone).to_vec(),
            vec![(Place::SameCache, id(3))],
        ),
        (vec![not_ended.clone()], vec![(Place::Concurrent, id(4))]),
        (vec![not_known], vec![(Place::Unknown, id(5))]),
    ] {
        assert_eq!(place(&build, &runs), expected);
    }
}

#[test]
fn a_link_and_a_forced_build_have_places_of_their_own() {
    let earlier = [run(1, cache("here", "/cache"), 50)];
    let linked = one(KeyKind::Link);
    assert_eq!(place(&linked, &earlier), [(Place::Link, id(1))]);
    assert_eq!(done(&linked, &earlier, &[]).cpu_ns, 0);

    let mut run = one(KeyKind::Link);
    run.command.name = "run".to_owned();
    run.toolchain.version = Some("go1.27.3".to_owned());
    assert_eq!(place(&run, &earlier), [(Place::SameCache, id(1))]);
    run.toolchain.version = Some("go1.23.9".to_owned());
    assert_eq!(place(&run, &earlier), [(Place::Link, id(1))]);

    let mut forced = one(KeyKind::Build);
    forced.command.flags.push(Flag {
        name: "a".to_owned(),
        value: None,
        origin: FlagOrigin::Argv,
    });
    assert_eq!(place(&forced, &earlier), [(Place::Forced, id(1))]);
    assert_eq!(place(&forced, &[]), []);
}

#[test]
fn only_builds_that_differ_in_directories_alone_are_path_twins() {
    let in_dir = |dir: &str, content: &str, import: &str| {
        let dir = format!("dir /{dir}");
        vec![
            key(KeyKind::Build, 0, "low", dir.as_str(), &[&dir, content]),
            key(
                KeyKind::Build,
                1,
                "high",
                &format!("high{dir}"),
                &[&dir, &format!("import low {import}")],
            ),
        ]
    };
    let first = in_dir("one", "file a.go A", "c1");
    let twins = |after: Vec<ActionKey>, past: &[Vec<ActionKey>]| {
        let done = done(&build(after), &[], past);
        let actions = done.actions.into_iter();
        actions
            .map(|it| (it.action, it.place, it.by))
            .collect::<Vec<_>>()
    };
    let both = [(0, Place::PathOnly, id(0)), (1, Place::PathOnly, id(0))];
    assert_eq!(
        twins(
            in_dir("two", "file a.go A", "c2"),
            std::slice::from_ref(&first)
        ),
        both
    );
    // A file differs too, so the import differs in more than directories.
    assert_eq!(
        twins(
            in_dir("two", "file a.go B", "c2"),
            std::slice::from_ref(&first)
        ),
        []
    );
    // The import was not built.
    let mut alone = in_dir("two", "file a.go A", "c2");
    alone.remove(0);
    alone[0].action = 0;
    assert_eq!(twins(alone, std::slice::from_ref(&first)), []);
    // Of a key with gaps, the rest is not known.
    let mut gaps = in_dir("two", "file a.go A", "c2");
    gaps[0].has_gaps = true;
    assert_eq!(twins(gaps, &[first]), []);
}

#[test]
fn the_cache_saved_what_its_hits_took_when_they_last_ran() {
    let mut build = one(KeyKind::Build);
    let action = build.actions[0].clone();
    for (package, mode) in [
        ("q", "build"),
        ("r", "build"),
        ("q", "link"),
        ("s", "other"),
    ] {
        build.actions.push(crate::model::Action {
            mode: mode.to_owned(),
            package: Some(package.into()),
            outcome: Outcome::Cached,
            calls: Vec::new(),
            ..action.clone()
        });
    }
    let cached = cached_units(&build);
    let unit = |package: &str| Unit::of_action(&build, KeyKind::Build, &package.into());
    assert_eq!(cached, [unit("q"), unit("r")].into());
    let runs = [(unit("q"), (id(3), 7)), (unit("p"), (id(4), 9))];
    let saved = Saved::of(&cached, &runs.into());
    assert_eq!(
        saved,
        Saved {
            n_cached: 2,
            n_known: 1,
            cpu_ns: 7,
            by: Some(id(3)),
        }
    );
}

#[test]
fn a_long_chain_above_another_change_has_no_path_twins() {
    let chain = |root: &str, file: &str| {
        let package = |n: u32| {
            let dir = format!("dir {root}/p{n}");
            let import = match n {
                0 => format!("file a.go {file}"),
                n => format!("import p{} {root}{file}", n - 1),
            };
            let id = format!("{root}{file}{n}");
            key(KeyKind::Build, n, &format!("p{n}"), &id, &[&dir, &import])
        };
        (0..3_000).map(package).collect::<Vec<_>>()
    };
    let first = [chain("/one", "A")];
    assert_eq!(done(&build(chain("/two", "B")), &[], &first).actions, []);
    assert_eq!(
        done(&build(chain("/two", "A")), &[], &first).actions.len(),
        3_000
    );
}
