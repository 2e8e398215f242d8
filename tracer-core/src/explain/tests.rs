mod test_runs;

use proptest::prelude::*;

use super::*;
use crate::event::{Ktime, ProcKey, Status, Tgid, Usage};
use crate::model::{Action, CallKind, FlagOrigin, Outcome, ToolCall};

const NOTHING: &[&str] = &[];

pub(super) fn id(n: u32) -> BuildId {
    format!("019ab12f-3c44-7000-8000-{n:012x}").parse().unwrap()
}

/// The key of a package: lines without the line feed, and `ID`.
pub(super) fn key(
    kind: KeyKind,
    action: u32,
    package: &str,
    id: &str,
    lines: &[&str],
) -> ActionKey {
    let fixed = ["go1.27.3", "compile\n", "goos linux goarch amd64\n"];
    let lines = lines.iter().map(|it| format!("{it}\n"));
    let all = fixed.into_iter().map(str::to_owned).chain(lines);
    ActionKey {
        kind,
        package: package.into(),
        action,
        id: Some(id.to_owned()),
        lines: all.map(ByteString::from).collect(),
        cut: Vec::new(),
        has_gaps: false,
    }
}

/// A build whose actions ran with these keys, and took 1 ms each.
pub(super) fn build(keys: Vec<ActionKey>) -> Build {
    let mut build = crate::history::tests::build(7, 0, &[]);
    for (n, key) in (0u32..).zip(&keys) {
        let mode = key.kind.mode().to_owned();
        build.actions.push(Action {
            mode,
            package: Some(key.package.clone()),
            start: Ktime(u64::from(n)),
            end: Some(Ktime(u64::from(n) + 1)),
            outcome: Outcome::Executed,
            calls: vec![n],
        });
        let process = ProcKey {
            tgid: Tgid(n),
            born: Ktime(1),
        };
        build.calls.push(ToolCall {
            process,
            parent: Tgid(1),
            started_by: None,
            kind: CallKind::Compile,
            program: "compile".into(),
            package: Some(key.package.clone()),
            module: None,
            is_query: false,
            start: Ktime(0),
            end: Some(Ktime(1)),
            status: Some(Status::Code(0)),
            killed_by: None,
            usage: Usage {
                user_ns: 1_000_000,
                ..Usage::default()
            },
            phases: Vec::new(),
            gc_cycles: Vec::new(),
        });
    }
    build.keys = keys;
    build
}

/// Earlier builds, latest first.
pub(super) fn past(builds: &[Vec<ActionKey>]) -> Past {
    let mut past = Past::new();
    for (n, keys) in (0u32..).zip(builds) {
        for key in keys {
            let unit = Unit::of(&build(Vec::new()), key);
            past.entry(unit).or_default().push(PastKey {
                build: id(n),
                key: key.clone(),
                has_failed: false,
            });
        }
    }
    past
}

fn only_cause(before: &[&[&str]], after: &[&str]) -> Cause {
    let one = |id: &str, lines: &[&str]| vec![key(KeyKind::Build, 0, "p", id, lines)];
    let before = before.iter().enumerate();
    let before: Vec<_> = before.map(|(n, it)| one(&format!("old{n}"), it)).collect();
    let explained = explain(&build(one("new", after)), &past(&before));
    explained.actions[0].cause.clone()
}

fn changes(cause: &Cause) -> Vec<(InputKind, &str, Option<&str>, Option<&str>)> {
    let Cause::Changed { changes, .. } = cause else {
        panic!("{cause:?}")
    };
    let changes = changes.iter().map(|it| {
        let name = it.input.name.as_deref().unwrap_or_default();
        (
            it.input.kind,
            name,
            it.before.as_deref(),
            it.after.as_deref(),
        )
    });
    changes.collect()
}

#[test]
fn each_line_is_an_input_with_a_name() {
    use InputKind as Kind;
    for (before, after, expected) in [
        (
            "file a b.go AAA",
            "file a b.go BBB",
            (Kind::File, "a b.go", Some("AAA"), Some("BBB")),
        ),
        (
            "compile compile version go1.26.6 [] []",
            "compile compile version go1.27.3 [] []",
            (Kind::Compiler, "", Some("go1.26.6"), Some("go1.27.3")),
        ),
        (
            r#"compile compile version go1.27.3 [] []"#,
            r#"compile compile version go1.27.3 [] ["-N" "-l"]"#,
            (
                Kind::CompilerFlags,
                "",
                Some("[] []"),
                Some(r#"[] ["-N" "-l"]"#),
            ),
        ),
        (
            r#"modinfo "path\tx\nbuild\tvcs.revision=abc\n""#,
            r#"modinfo "path\tx\nbuild\tvcs.revision=def\n""#,
            (Kind::BuildInfo, "vcs.revision", Some("abc"), Some("def")),
        ),
        (
            r#"modinfo "path\tx\ndep\texample.com/d\tv1.0.0\th1:a=\n""#,
            r#"modinfo "path\tx\ndep\texample.com/d\tv1.1.0\th1:b=\n""#,
            (
                Kind::BuildInfo,
                "example.com/d",
                Some("v1.0.0\th1:a="),
                Some("v1.1.0\th1:b="),
            ),
        ),
        (
            "dir /home/me/go/pkg/mod/github.com/!burnt!sushi/toml@v1.2.0/internal",
            "dir /home/me/go/pkg/mod/github.com/!burnt!sushi/toml@v1.3.0/internal",
            (
                Kind::Module,
                "github.com/BurntSushi/toml",
                Some("v1.2.0"),
                Some("v1.3.0"),
            ),
        ),
        (
            "dir /a",
            "dir /b",
            (Kind::Directory, "", Some("/a"), Some("/b")),
        ),
        (
            "GOAMD64=v1",
            "GOAMD64=v3",
            (Kind::ArchitectureLevel, "GOAMD64", Some("v1"), Some("v3")),
        ),
        (
            r#"CC=["gcc"] [] ["-O2"] []"#,
            r#"CC=["gcc"] [] ["-O3"] []"#,
            (
                Kind::CFlags,
                "CC",
                Some(r#"["gcc"] [] ["-O2"] []"#),
                Some(r#"["gcc"] [] ["-O3"] []"#),
            ),
        ),
        (
            r#"CC ID="a""#,
            r#"CC ID="b""#,
            (Kind::CCompiler, "CC", Some(r#"ID="a""#), Some(r#"ID="b""#)),
        ),
        (
            "a line of the future",
            "a line of tomorrow",
            (
                Kind::Other,
                "a",
                Some("line of the future"),
                Some("line of tomorrow"),
            ),
        ),
    ] {
        let cause = only_cause(&[&[before]], &[after]);
        assert_eq!(changes(&cause), [expected]);
    }
}

#[test]
fn linker_flags_show_which_variable_changed() {
    let line = |date: &str| {
        format!(
            r#"linkflags ["-s" "-X" "main.date=<redacted:a1b2-{date}>" "-X=main.v=<redacted:a1b2-aa>"]"#
        )
    };
    let cause = only_cause(&[&[&line("01")]], &[&line("02")]);
    let [(kind, name, ..)] = changes(&cause)[..] else {
        panic!("{cause:?}")
    };
    assert_eq!((kind, name), (InputKind::LinkVariable, "main.date"));
    // The build information of the program has the same flags in another form.
    let line = |date: &str| {
        format!(r#"modinfo "build\t-ldflags=\"-s -X 'main.date=<redacted:a1b2-{date}>'\"\n""#)
    };
    let cause = only_cause(&[&[&line("01")]], &[&line("02")]);
    let [(kind, name, ..)] = changes(&cause)[..] else {
        panic!("{cause:?}")
    };
    assert_eq!((kind, name), (InputKind::LinkVariable, "main.date"));
}

#[test]
fn a_removed_value_without_a_digest_is_not_known() {
    let line = r#"linkflags ["-X" "main.date=<redacted>"]"#;
    let missing = Missing::Parts {
        lines: vec!["linkflags".to_owned()],
    };
    assert_eq!(
        only_cause(&[&[line]], &[line]),
        Cause::Unresolved { missing }
    );
}

#[test]
fn digests_of_different_keys_are_not_compared() {
    let line = |key: &str| format!(r#"linkflags ["-X" "main.date=<redacted:{key}-01>"]"#);
    let missing = Missing::Parts {
        lines: vec!["linkflags".to_owned()],
    };
    let cause = only_cause(&[&[&line("aaaa")]], &[&line("bbbb")]);
    assert_eq!(cause, Cause::Unresolved { missing });
}

#[test]
fn the_nearest_earlier_key_counts() {
    let cause = only_cause(
        &[
            &["trimpath", "file a.go 1", "file b.go 1"],
            &["file a.go 1", "file b.go 1"],
            &["file a.go 2", "file b.go 2"],
        ],
        &["file a.go 1", "file b.go 9"],
    );
    let Cause::Changed { than, .. } = &cause else {
        panic!("{cause:?}")
    };
    assert_eq!(*than, id(1));
    assert_eq!(
        changes(&cause),
        [(InputKind::File, "b.go", Some("1"), Some("9"))]
    );
}

#[test]
fn equal_keys_are_the_same_inputs() {
    let keys = |action| vec![key(KeyKind::Build, action, "p", "same", &["file a.go 1"])];
    let explained = explain(&build(keys(0)), &past(&[keys(0)]));
    let cause = Cause::SameInputs {
        than: id(0),
        had_failed: false,
    };
    assert_eq!(explained.actions[0].cause, cause);
    assert_eq!(explained.roots[0].cause, RootCause::SameInputs);
}

#[test]
fn a_success_with_the_same_inputs_counts_more_than_a_failure() {
    let keys = || vec![key(KeyKind::Build, 0, "p", "same", NOTHING)];
    let mut past = past(&[keys(), keys()]);
    for keys in past.values_mut() {
        keys[0].has_failed = true;
    }
    let explained = explain(&build(keys()), &past);
    let cause = Cause::SameInputs {
        than: id(1),
        had_failed: false,
    };
    assert_eq!(explained.actions[0].cause, cause);
}

#[test]
fn without_an_earlier_key_nothing_is_compared() {
    assert_eq!(only_cause(&[], &["file a.go 1"]), Cause::First);
    assert!(!explain(&build(Vec::new()), &Past::new()).has_keys);
}

#[test]
fn the_flag_a_forces_everything() {
    let mut build = build(vec![key(KeyKind::Build, 0, "p", "new", NOTHING)]);
    build.command.flags.push(Flag {
        name: "a".to_owned(),
        value: None,
        origin: FlagOrigin::Goflags,
    });
    assert_eq!(
        explain(&build, &Past::new()).actions[0].cause,
        Cause::Forced
    );
}

#[test]
fn gaps_are_unresolved() {
    let old = key(KeyKind::Build, 0, "p", "old", &["file a.go 1"]);
    let mut new = key(KeyKind::Build, 0, "p", "new", &["file a.go 2"]);
    new.has_gaps = true;
    let explained = explain(&build(vec![new.clone()]), &past(&[vec![old.clone()]]));
    let missing = |missing| Cause::Unresolved { missing };
    assert_eq!(explained.actions[0].cause, missing(Missing::Lines));
    let explained = explain(&build(vec![old]), &past(&[vec![new]]));
    assert_eq!(explained.actions[0].cause, missing(Missing::EarlierLines));
}

/// Packages `p0` to `p{n-1}`, each of which imports the one before; then a link.
fn chain(n: u32, content: u32) -> Vec<ActionKey> {
    let packages = (0..n).map(|i| {
        let own = match i {
            0 => format!("file a.go {content}"),
            _ => format!("import p{} c{content}", i - 1),
        };
        key(
            KeyKind::Build,
            i,
            &format!("p{i}"),
            &format!("{i}-{content}"),
            &[&own],
        )
    });
    let mut keys: Vec<ActionKey> = packages.collect();
    let main = format!("p{}", n - 1);
    let all: Vec<String> = (0..n)
        .map(|i| format!("packagefile p{i}=c{content}"))
        .collect();
    let mut lines: Vec<&str> = all.iter().map(String::as_str).collect();
    lines.push("packagemain x");
    keys.push(key(
        KeyKind::Link,
        n,
        &main,
        &format!("link-{content}"),
        &lines,
    ));
    keys
}

#[test]
fn a_long_chain_leads_to_its_root() {
    let n = 10_000;
    let explained = explain(&build(chain(n, 2)), &past(&[chain(n, 1)]));
    let [root] = &explained.roots[..] else {
        panic!("{}", explained.roots.len())
    };
    assert_eq!((root.actions.len(), root.behind.len()), (1, 10_000));
    assert_eq!(root.cpu_ns, 10_001_000_000);
    let RootCause::Changed { package, .. } = &root.cause else {
        panic!("{:?}", root.cause)
    };
    assert_eq!(package.as_deref(), Some("p0"));
}

#[test]
fn a_package_that_was_not_built_here_is_named_and_cached_only_if_that_was_seen() {
    let old = key(
        KeyKind::Build,
        0,
        "top",
        "a",
        &["import low 1", "import lower 1"],
    );
    let new = key(
        KeyKind::Build,
        0,
        "top",
        "b",
        &["import low 2", "import lower 2"],
    );
    let packages = ["low", "lower"].map(str::to_owned).to_vec();
    let mut build = build(vec![new]);
    let past = past(&[vec![old]]);
    let only_root = |build: &Build| {
        let explained = explain(build, &past);
        let [root] = &explained.roots[..] else {
            panic!("{:?}", explained.roots)
        };
        assert_eq!(root.behind, [0]);
        root.cause.clone()
    };
    let missing = Some(Missing::Imports {
        packages: packages.clone(),
    });
    assert_eq!(only_root(&build), RootCause::Unresolved { missing });
    for package in &packages {
        build.actions.push(Action {
            mode: "build".to_owned(),
            package: Some(package.as_str().into()),
            start: Ktime(0),
            end: Some(Ktime(1)),
            outcome: Outcome::Cached,
            calls: Vec::new(),
        });
    }
    assert_eq!(only_root(&build), RootCause::Elsewhere { packages });
}

#[test]
fn packages_that_import_each_other_are_unresolved() {
    let keys = |content: u32| {
        ["p", "q"].map(|it| {
            let other = if it == "p" { "q" } else { "p" };
            let action = u32::from(it == "q");
            let line = format!("import {other} {content}");
            key(
                KeyKind::Build,
                action,
                it,
                &format!("{it}{content}"),
                &[&line],
            )
        })
    };
    let explained = explain(&build(keys(2).to_vec()), &past(&[keys(1).to_vec()]));
    let causes: Vec<&RootCause> = explained.roots.iter().map(|it| &it.cause).collect();
    assert_eq!(causes, [&RootCause::Unresolved { missing: None }]);
}

#[test]
fn a_new_release_is_one_root() {
    let keys = |release: &str| {
        let mut keys = chain(3, 1);
        for key in &mut keys {
            key.lines[0] = release.into();
            key.id = Some(format!("{release}{}", key.action));
        }
        keys
    };
    let explained = explain(&build(keys("go1.27.3")), &past(&[keys("go1.26.6")]));
    let [root] = &explained.roots[..] else {
        panic!("{:?}", explained.roots)
    };
    assert_eq!((root.actions.len(), root.behind.len()), (4, 0));
}

#[test]
fn only_one_package_stays() {
    let mut explained = explain(&build(chain(3, 2)), &past(&[chain(3, 1)]));
    explained.retain_package("p1");
    assert_eq!(explained.actions.len(), 1);
    assert_eq!(explained.roots[0].behind, [0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// If lines of either key are lost and the key is marked, the cause is the true one or unresolved.
    #[test]
    fn lost_lines_never_give_a_wrong_cause(
        lost in prop::collection::vec(any::<bool>(), 8),
        of_old in any::<bool>(),
    ) {
        let lines = |content: u32| -> Vec<String> {
            (0..5).map(|i| format!("file f{i}.go {}", if i == 3 { content } else { 0 })).collect()
        };
        let with = |id: &str, content: u32| {
            let lines = lines(content);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            key(KeyKind::Build, 0, "p", id, &lines)
        };
        let (mut old, mut new) = (with("old", 1), with("new", 2));
        let truth = explain(&build(vec![new.clone()]), &past(&[vec![old.clone()]]));
        let thinned = if of_old { &mut old } else { &mut new };
        let mut stays = lost.iter().map(|it| !it);
        let n = thinned.lines.len();
        thinned.lines.retain(|_| stays.next().unwrap_or(true));
        thinned.has_gaps = thinned.lines.len() < n;
        let explained = explain(&build(vec![new]), &past(&[vec![old]]));
        let is_unresolved = matches!(explained.actions[0].cause, Cause::Unresolved { .. });
        prop_assert!(is_unresolved || explained == truth);
    }

    /// Any lines give a cause.
    #[test]
    fn any_lines_are_explained(
        before in prop::collection::vec("\\PC{0,40}", 0..8),
        after in prop::collection::vec("\\PC{0,40}", 0..8),
        cut in prop::collection::vec(0..8u32, 0..3),
    ) {
        let with = |id: &str, lines: &[String]| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            key(KeyKind::Link, 0, "p", id, &lines)
        };
        let mut new = with("new", &after);
        new.cut = cut;
        let explained = explain(&build(vec![new]), &past(&[vec![with("old", &before)]]));
        prop_assert_eq!(explained.actions.len(), 1);
    }
}

#[test]
fn a_tree_that_moved_is_one_root() {
    let tree = |root: &str| {
        let dir = |it: &str| format!("dir {root}{it}");
        vec![
            key(KeyKind::Build, 0, "m", &dir("m"), &[&dir("")]),
            key(KeyKind::Build, 1, "m/a", &dir("a"), &[&dir("/a")]),
            key(KeyKind::Build, 2, "m/b/a", &dir("b"), &[&dir("/b/a")]),
        ]
    };
    for (from, to, before, after) in [
        ("/one/src", "/two/src", "/one", "/two"),
        ("/src/m", "/other", "/src/m", "/other"),
        ("/m", "/deep/m", "/", "/deep"),
    ] {
        let explained = explain(&build(tree(to)), &past(&[tree(from)]));
        let [root] = explained.roots.as_slice() else {
            panic!("{:?}", explained.roots)
        };
        let RootCause::Changed { package, changes } = &root.cause else {
            panic!("{root:?}")
        };
        let values = (changes[0].before.as_deref(), changes[0].after.as_deref());
        assert_eq!((package, values), (&None, (Some(before), Some(after))));
        assert_eq!(root.actions.len(), 3);
    }
}
