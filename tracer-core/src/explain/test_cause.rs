//! The reason why a test ran, and no stored result was used.
//!
//! Go finds a result in two steps. The program and its arguments lead to the list of inputs that the last run with them used; the present
//! state of these inputs leads to the result. So the key of a run shows which step failed, and an earlier key shows why.

use crate::model::ActionKey;

use super::diff::Difference;
use super::test_run::TestRun;
use super::{Cause, Missing, PastKey, unresolved};

/// An earlier run, and its key.
struct Earlier<'a> {
    past: &'a PastKey,
    run: TestRun,
}

/// The cause of a test run. `past` is in order, latest first.
pub(super) fn cause(key: &ActionKey, past: &[PastKey]) -> Cause {
    let run = TestRun::of(key);
    if let Some(reason) = run.not_cacheable(key.has_gaps) {
        return Cause::NotCacheable { reason };
    }
    if past.is_empty() {
        return Cause::First;
    }
    if !is_whole(key) {
        return unresolved(Missing::Lines);
    }
    let earlier: Vec<Earlier<'_>> = past
        .iter()
        .filter(|it| is_whole(&it.key))
        .map(|past| Earlier {
            past,
            run: TestRun::of(&past.key),
        })
        .collect();
    if earlier.is_empty() {
        return unresolved(Missing::EarlierLines);
    }
    let same = earlier.iter().filter(|it| run.is_same_program(&it.run));
    let same: Vec<&Earlier<'_>> = same.collect();
    if run.looked_up.is_some() {
        with_inputs(key, &run, &same)
    } else if same.is_empty() {
        with_another_program(key, &run, &earlier)
    } else {
        without_result(&same)
    }
}

fn is_whole(key: &ActionKey) -> bool {
    !key.has_gaps && key.cut.is_empty()
}

/// Go found a list of inputs, so an earlier run with this program and these arguments had stored a result.
fn with_inputs(key: &ActionKey, run: &TestRun, same: &[&Earlier<'_>]) -> Cause {
    let stored = same.iter().filter(|it| it.run.has_stored());
    let stored = stored.filter_map(|it| {
        let before = it.run.stored.as_ref()?;
        Some((it, run.input_changes(before, &it.run.directory)?))
    });
    let stored: Vec<(&&Earlier<'_>, Difference)> = stored.collect();
    let is_same = |it: &Difference| *it == Difference::default();
    if let Some((same, _)) = stored.iter().find(|it| is_same(&it.1)) {
        let than = same.past.build.clone();
        return Cause::Expired { than };
    }
    // The last run with this state of the inputs may have stored nothing.
    let unstored = same.iter().filter(|it| !it.run.has_stored());
    let mut unstored = unstored.filter(|it| {
        let before = it.run.looked_up.as_ref();
        let found = before.and_then(|before| run.input_changes(before, &it.run.directory));
        found.is_some_and(|it| is_same(&it))
    });
    if let Some(same) = unstored.next() {
        return not_stored(same);
    }
    let nearest = stored
        .into_iter()
        .min_by_key(|(_, it)| (it.changes.len(), it.unknown.len()));
    match nearest {
        Some((nearest, found)) => super::of_difference(key, &nearest.past.build, found),
        None => unresolved(Missing::StoringRun),
    }
}

/// Go found no list of inputs, although the program ran before with these arguments.
fn without_result(same: &[&Earlier<'_>]) -> Cause {
    let stored = same.iter().find(|it| it.run.has_stored());
    match (stored, same.first()) {
        (Some(stored), _) => Cause::SameInputs {
            than: stored.past.build.clone(),
            had_failed: false,
        },
        (None, Some(last)) => not_stored(last),
        (None, None) => unresolved(Missing::StoringRun),
    }
}

/// No earlier run had this program and these arguments.
fn with_another_program(key: &ActionKey, run: &TestRun, earlier: &[Earlier<'_>]) -> Cause {
    let comparable = earlier.iter().filter(|it| !it.run.programs.is_empty());
    let compared = comparable.map(|it| (it, run.program_changes(&it.run)));
    let nearest = compared.min_by_key(|(_, it)| (it.changes.len(), it.unknown.len()));
    match (nearest, earlier.first()) {
        (Some((nearest, found)), _) => super::of_difference(key, &nearest.past.build, found),
        (None, Some(last)) => not_stored(last),
        (None, None) => unresolved(Missing::EarlierLines),
    }
}

fn not_stored(earlier: &Earlier<'_>) -> Cause {
    let PastKey {
        build,
        key,
        has_failed,
    } = earlier.past;
    Cause::NotStored {
        than: build.clone(),
        reason: earlier.run.not_stored(*has_failed, key.has_gaps),
    }
}
