//! Causes of test runs, from keys made by hand.

use super::*;

const RUN: &str = r#"arguments ["-test.testlogfile" "-test.paniconexit0" "-test.timeout=10m0s"]"#;
const PROGRAM: &str = r#"test binary AAA args ["-test.timeout=10m0s"] execcmd []"#;
const CONTENT: &str = r#"test binary CCC args ["-test.timeout=10m0s"] execcmd []"#;
const VARIABLE: &str = "env MODE <redacted:a1b2-01>";
const FILE: &str = "open /m/p/data/a.txt AAAA";
const FACT: &str = "\tstat 5 1a4 2026-01-01 00:00:00 +0000 UTC false";

/// The key of a run of the test of `p`, in `/m/p`.
fn run(lines: &[&str]) -> ActionKey {
    let mut key = key(KeyKind::Test, 0, "p", "", &[]);
    let head = ["go1.27.3", RUN, "directory /m/p"];
    let lines = head.iter().chain(lines);
    key.lines = lines.map(|it| ByteString::from(*it)).collect();
    key.id = None;
    key
}

/// The key of a run that found these inputs, and stored its result under them.
fn with_inputs(inputs: &[&str]) -> ActionKey {
    let sections = [&["looked up"], inputs, &["stored"], inputs].concat();
    run(&[&[PROGRAM, CONTENT], &sections[..]].concat())
}

fn lines(key: &mut ActionKey, from: &str, to: &str) {
    let old = std::mem::take(&mut key.lines).into_iter();
    let new = old.map(|it| ByteString::from(it.to_str().replace(from, to)));
    key.lines = new.collect();
}

fn cause_after(before: &[ActionKey], after: &ActionKey) -> Cause {
    let before: Vec<_> = before.iter().map(|it| vec![it.clone()]).collect();
    let explained = explain(&build(vec![after.clone()]), &past(&before));
    explained.actions[0].cause.clone()
}

fn changes_after(before: &[&str], after: &[&str]) -> Vec<(InputKind, String)> {
    let cause = cause_after(&[with_inputs(before)], &with_inputs(after));
    let Cause::Changed { changes, .. } = &cause else {
        panic!("{cause:?}")
    };
    let changes = changes.iter();
    let changes = changes.map(|it| (it.input.kind, it.input.name.clone().unwrap_or_default()));
    changes.collect()
}

#[test]
fn a_changed_variable_is_named() {
    let other = "env MODE <redacted:a1b2-02>";
    let changes = changes_after(&[VARIABLE, FILE], &[other, FILE]);
    assert_eq!(changes, [(InputKind::TestVariable, "MODE".to_owned())]);
}

#[test]
fn digests_of_another_machine_are_not_compared() {
    let other = "env MODE <redacted:ffff-02>";
    let cause = cause_after(&[with_inputs(&[VARIABLE])], &with_inputs(&[other]));
    let missing = Missing::Parts {
        lines: vec!["env".to_owned()],
    };
    assert_eq!(cause, Cause::Unresolved { missing });
}

#[test]
fn facts_show_what_changed_of_a_file() {
    use InputKind as Kind;
    let file = "data/a.txt".to_owned();
    for (after, expected) in [
        (
            "\tstat 6 1a4 2026-01-01 00:00:00 +0000 UTC false",
            vec![(Kind::TestFileSize, file.clone())],
        ),
        (
            "\tstat 5 1ed 2026-01-01 00:00:00 +0000 UTC false",
            vec![(Kind::TestFileMode, file.clone())],
        ),
        (
            "\tstat 5 1a4 2026-01-01 00:00:00.5 +0000 UTC false",
            vec![(Kind::TestFileTime, file.clone())],
        ),
        (
            "\tstat 5 1a4 2026-01-01 01:00:00 +0100 CET false",
            vec![(Kind::TestTimeZone, String::new())],
        ),
        (
            "\terr stat /m/p/data/a.txt: no such file or directory",
            vec![(Kind::TestFile, file.clone())],
        ),
        (
            "\ta fact of the future",
            vec![(Kind::TestFile, file.clone())],
        ),
    ] {
        let other = "open /m/p/data/a.txt BBBB";
        assert_eq!(changes_after(&[FILE, FACT], &[other, after]), expected);
    }
    let other = "open /m/p/data/a.txt BBBB";
    let unknown = vec![(Kind::TestFile, file)];
    assert_eq!(changes_after(&[FILE, FACT], &[other]), unknown);
}

#[test]
fn entries_of_a_directory_are_named() {
    let entry = "\tfile a.txt ";
    let before = ["open /m/testdata AAAA", FACT, entry, FACT];
    let after = ["open /m/testdata BBBB", FACT, "\tfile b.txt ", FACT];
    let names = ["../testdata/a.txt", "../testdata/b.txt"];
    let expected = names.map(|it| (InputKind::TestFile, it.to_owned()));
    assert_eq!(changes_after(&before, &after), expected);
}

#[test]
fn another_directory_is_a_change() {
    let inputs = ["stat /m/p/none AAAA", "\terr stat /m/p/none: no such file"];
    let before = with_inputs(&inputs);
    let mut after = before.clone();
    lines(&mut after, "/m/p", "/other/p");
    lines(&mut after, "AAAA", "BBBB");
    let cause = cause_after(&[before], &after);
    let expected = (InputKind::Directory, "", Some("/m/p"), Some("/other/p"));
    assert_eq!(changes(&cause), [expected]);
}

#[test]
fn a_file_that_is_too_young_is_the_next_one_of_the_list() {
    let fact = "\tstat 6 1a4 2026-01-01 00:00:09 +0000 UTC false";
    let after = run(&[PROGRAM, CONTENT, "looked up", VARIABLE, "young", fact]);
    let cause = cause_after(&[with_inputs(&[VARIABLE, FILE, FACT])], &after);
    let kinds: Vec<InputKind> = changes(&cause).iter().map(|it| it.0).collect();
    assert_eq!(kinds, [InputKind::TestFileSize, InputKind::TestFileTime]);
    // Without the earlier list, the name is not known.
    let cause = cause_after(&[run(&[PROGRAM, CONTENT])], &after);
    let missing = Missing::StoringRun;
    assert_eq!(cause, Cause::Unresolved { missing });
}

#[test]
fn the_same_inputs_without_a_result_had_expired() {
    let same = with_inputs(&[VARIABLE, FILE]);
    let cause = cause_after(std::slice::from_ref(&same), &same);
    assert_eq!(cause, Cause::Expired { than: id(0) });
}

#[test]
fn a_list_of_another_run_is_not_compared() {
    let cause = cause_after(&[with_inputs(&[VARIABLE])], &with_inputs(&[FILE]));
    let missing = Missing::StoringRun;
    assert_eq!(cause, Cause::Unresolved { missing });
}

#[test]
fn without_a_list_the_result_was_not_in_the_cache() {
    let after = run(&[PROGRAM, CONTENT]);
    let cause = cause_after(&[with_inputs(&[FILE])], &after);
    let than = id(0);
    let had_failed = false;
    assert_eq!(cause, Cause::SameInputs { than, had_failed });
}

#[test]
fn a_run_that_stored_nothing_is_the_cause() {
    let after = run(&[PROGRAM, CONTENT]);
    let young = run(&[PROGRAM, CONTENT, "stored", "young", FACT]);
    let not_known = run(&[PROGRAM, CONTENT]);
    let mut counted = run(&[]);
    let count = r#"arguments ["-test.count=1"]"#;
    counted.lines[1] = count.into();
    let reason = NotCacheable::Argument {
        flag: "-count=1".to_owned(),
    };
    for (before, reason) in [
        (young, NotStored::YoungFile),
        (not_known, NotStored::NotKnown),
        (counted, NotStored::NotCacheable { reason }),
    ] {
        let than = id(0);
        assert_eq!(
            cause_after(&[before], &after),
            Cause::NotStored { than, reason }
        );
    }
}

#[test]
fn a_failure_is_not_stored() {
    let mut past = past(&[vec![with_inputs(&[FILE])]]);
    let after = with_inputs(&[FILE]);
    for keys in past.values_mut() {
        keys[0].has_failed = true;
        let kept = keys[0].key.lines.iter().position(|it| *it == "stored");
        keys[0].key.lines.truncate(kept.unwrap());
    }
    let explained = explain(&build(vec![after]), &past);
    let (than, reason) = (id(0), NotStored::Failed);
    assert_eq!(
        explained.actions[0].cause,
        Cause::NotStored { than, reason }
    );
}

#[test]
fn arguments_are_compared_flag_by_flag() {
    let mut after = run(&[PROGRAM, CONTENT]);
    lines(&mut after, "args [", r#"args ["-test.run=A B" "#);
    let cause = cause_after(&[run(&[PROGRAM, CONTENT])], &after);
    let expected = (InputKind::TestFlag, "-run", None, Some("A B"));
    assert_eq!(changes(&cause), [expected]);
}

#[test]
fn another_program_leads_to_its_link() {
    let keys = |content: &str| {
        let mut test = run(&[
            &PROGRAM.replace("AAA", content),
            &CONTENT.replace("CCC", content),
        ]);
        test.action = 2;
        let source = format!("file a.go {content}");
        let package = key(KeyKind::Build, 0, "p [p.test]", content, &[&source]);
        let import = format!("packagefile p={content}");
        let link = key(KeyKind::Link, 1, "p.test", content, &[&import]);
        vec![package, link, test]
    };
    let explained = explain(&build(keys("new")), &past(&[keys("old")]));
    let [root] = &explained.roots[..] else {
        panic!("{:?}", explained.roots)
    };
    assert_eq!(
        (&root.actions[..], &root.behind[..]),
        (&[0][..], &[1, 2][..])
    );
}

#[test]
fn an_unchanged_program_is_linked_because_the_test_runs() {
    let keys = |variable: &str| {
        let mut test = with_inputs(&[variable]);
        test.action = 1;
        let link = key(KeyKind::Link, 0, "p.test", "same", NOTHING);
        vec![link, test]
    };
    let other = "env MODE <redacted:a1b2-02>";
    let explained = explain(&build(keys(other)), &past(&[keys(VARIABLE)]));
    let [root] = &explained.roots[..] else {
        panic!("{:?}", explained.roots)
    };
    assert_eq!((&root.actions[..], &root.behind[..]), (&[1][..], &[0][..]));
    assert_eq!(root.cpu_ns, 2_000_000);
}

#[test]
fn arguments_that_forbid_caching_are_the_cause() {
    let cause = |lines: &[&str], arguments: &str| {
        let mut key = run(lines);
        key.lines[1] = format!("arguments {arguments}").as_str().into();
        // Lost lines do not matter.
        key.has_gaps = lines.is_empty();
        cause_after(&[], &key)
    };
    let reason = NotCacheable::Argument {
        flag: "-count=1".to_owned(),
    };
    let found = cause(&[], r#"["-test.paniconexit0" "-test.count=1"]"#);
    assert_eq!(found, Cause::NotCacheable { reason });
    let reason = NotCacheable::LocalDirectory;
    let found = cause(&["local directory"], r#"["-test.timeout=10m0s"]"#);
    assert_eq!(found, Cause::NotCacheable { reason });
    let reason = NotCacheable::OutsideModule;
    let found = cause(&["directory /x"], r#"["-test.timeout=10m0s"]"#);
    assert_eq!(found, Cause::NotCacheable { reason });
    let wrapped = r#"test binary AAA args [] execcmd ["env" "-i"]"#;
    let reason = NotCacheable::Wrapper {
        command: "env -i".to_owned(),
    };
    let found = cause(&[wrapped], r#"["-test.paniconexit0"]"#);
    assert_eq!(found, Cause::NotCacheable { reason });
    assert_eq!(cause(&[], r#"["-test.testlogfile"]"#), Cause::First);
}

#[test]
fn new_times_of_several_packages_are_one_root() {
    let keys = |time: &str| {
        let fact = FACT.replace("00:00:00", time);
        let file = FILE.replace("AAAA", time);
        [0, 1].map(|n| {
            let mut key = with_inputs(&[&file, &fact]);
            key.package = format!("p{n}").as_str().into();
            key.action = n;
            key
        })
    };
    let (before, after) = (keys("00:00:00"), keys("00:00:01"));
    let explained = explain(&build(after.to_vec()), &past(&[before.to_vec()]));
    assert_eq!(explained.roots.len(), 1);
    let one = explain(&build(vec![after[0].clone()]), &past(&[before.to_vec()]));
    let RootCause::Changed { package, .. } = &one.roots[0].cause else {
        panic!("{:?}", one.roots)
    };
    assert_eq!(package.as_deref(), Some("p0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// If lines of either key are lost and the key is marked, the cause is the true one or unresolved.
    #[test]
    fn lost_lines_of_a_test_never_give_a_wrong_cause(
        lost in prop::collection::vec(any::<bool>(), 12),
        of_old in any::<bool>(),
    ) {
        let mut old = with_inputs(&[VARIABLE, FILE, FACT]);
        let mut new = with_inputs(&["env MODE <redacted:a1b2-02>", FILE, FACT]);
        let truth = cause_after(&[old.clone()], &new);
        let thinned = if of_old { &mut old } else { &mut new };
        let mut stays = lost.iter().map(|it| !it);
        let n = thinned.lines.len();
        // The first lines are no calls: the release stands in each key, and the arguments and the directory in the record of the process.
        let mut index = 0;
        thinned.lines.retain(|_| {
            index += 1;
            index <= 3 || stays.next().unwrap_or(true)
        });
        thinned.has_gaps = thinned.lines.len() < n;
        let cause = cause_after(&[old], &new);
        let is_unresolved = matches!(cause, Cause::Unresolved { .. });
        prop_assert!(is_unresolved || cause == truth, "{:?}", cause);
    }

    /// Any lines give a cause.
    #[test]
    fn any_lines_of_a_test_are_explained(
        before in prop::collection::vec("(\tstat|open|env|\tfile|young|stored|looked up|test binary|\terr)?\\PC{0,20}", 0..12),
        after in prop::collection::vec("(\tstat|open|env|\tfile|young|stored|looked up|test binary|\terr)?\\PC{0,20}", 0..12),
    ) {
        let of = |lines: &[String]| run(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let explained = explain(&build(vec![of(&after)]), &past(&[vec![of(&before)]]));
        prop_assert_eq!(explained.actions.len(), 1);
    }
}
