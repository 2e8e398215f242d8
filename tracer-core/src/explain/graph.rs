//! The graph of the executed actions of a build: which of them ran because of others.

use std::collections::{BTreeMap, BTreeSet};

use crate::golang::tool::split_variant;
use crate::model::KeyKind;

use super::{Cause, ExplainedAction};

/// The actions above each action: those whose import it changed. Above a test is the link that only the test needed.
pub(super) struct Graph<'a> {
    above: Vec<Vec<u32>>,
    /// The actions above packages that were not built, and true if such a package came from the build cache.
    pub(super) elsewhere: BTreeMap<(bool, &'a str), Vec<u32>>,
    /// The links that ran only because a test did.
    pub(super) needed: BTreeSet<u32>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(actions: &'a [ExplainedAction], cached: &BTreeSet<(KeyKind, String)>) -> Self {
        let units: BTreeMap<(KeyKind, String), u32> = (0u32..)
            .zip(actions)
            .map(|(index, it)| ((it.kind, it.package.to_str().into_owned()), index))
            .collect();
        let mut graph = Self {
            above: vec![Vec::new(); actions.len()],
            elsewhere: BTreeMap::new(),
            needed: BTreeSet::new(),
        };
        for (index, action) in (0u32..).zip(actions) {
            if let Some(test) = needed_by(action, &units, actions) {
                if let Some(above) = graph.above.get_mut(test as usize) {
                    above.push(index);
                }
                graph.needed.insert(index);
                continue;
            }
            let Cause::Imports { imports, .. } = &action.cause else {
                continue;
            };
            let variant = variant(action);
            // `vet` also uses the results of `vet` for the imports.
            let kinds: &[KeyKind] = match action.kind {
                KeyKind::Vet => &[KeyKind::Vet, KeyKind::Build],
                KeyKind::Test => &[KeyKind::Link],
                KeyKind::Build | KeyKind::Link => &[KeyKind::Build],
            };
            for import in imports {
                // A test program contains its own variants of some packages.
                let in_variant = variant.as_ref().map(|it| format!("{import} [{it}]"));
                let names = in_variant.into_iter().chain([import.clone()]);
                let results =
                    names.flat_map(|name| kinds.iter().map(move |it| (*it, name.clone())));
                let mut below = results.clone().filter_map(|it| units.get(&it).copied());
                let below = below.find(|it| *it != index);
                if let Some(above) = below.and_then(|it| graph.above.get_mut(it as usize)) {
                    above.push(index);
                } else {
                    let is_cached = results.clone().any(|it| cached.contains(&it));
                    let above = graph.elsewhere.entry((is_cached, import)).or_default();
                    above.push(index);
                }
            }
        }
        graph
    }

    pub(super) fn above(&self, index: u32) -> &[u32] {
        self.above.get(index as usize).map_or(&[], Vec::as_slice)
    }

    /// All actions at or above these, without `own`.
    pub(super) fn reach(&self, own: &[u32], start: Vec<u32>) -> Vec<u32> {
        // A flag for each action: a set would be most of the cost of a build with many roots.
        let mut is_seen = vec![false; self.above.len()];
        for index in own {
            if let Some(it) = is_seen.get_mut(*index as usize) {
                *it = true;
            }
        }
        let mut reached = Vec::new();
        let mut left = start;
        while let Some(index) = left.pop() {
            if let Some(it) = is_seen.get_mut(index as usize).filter(|it| !**it) {
                *it = true;
                reached.push(index);
                left.extend(self.above(index));
            }
        }
        reached.sort_unstable();
        reached
    }
}

/// The test run that an unchanged program was linked for: Go links the program of a test only if the test runs.
fn needed_by(
    action: &ExplainedAction,
    units: &BTreeMap<(KeyKind, String), u32>,
    actions: &[ExplainedAction],
) -> Option<u32> {
    let is_same = matches!(
        action.cause,
        Cause::SameInputs {
            had_failed: false,
            ..
        }
    );
    let package = action.package.to_str();
    let tested = package.strip_suffix(".test")?;
    if action.kind != KeyKind::Link || !is_same {
        return None;
    }
    let test = units.get(&(KeyKind::Test, tested.to_owned())).copied()?;
    let cause = &actions.get(test as usize)?.cause;
    (!matches!(cause, Cause::Imports { .. })).then_some(test)
}

/// The test program that an action belongs to: `p.test` for `p.test` itself and for `q [p.test]`.
fn variant(action: &ExplainedAction) -> Option<String> {
    let (path, variant) = split_variant(action.package.as_bytes());
    let is_program = action.kind != KeyKind::Test && path.ends_with(b".test");
    let variant = variant.or(is_program.then_some(path))?;
    Some(String::from_utf8_lossy(variant).into_owned())
}
