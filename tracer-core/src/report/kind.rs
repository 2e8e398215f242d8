//! Time by kind of work.
//!
//! A nested call belongs to the kind of its outermost call: the C compiler under `cgo` is `cgo` work. So the CPU time of all kinds and
//! queries together equals the CPU time of all calls.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::tree::{Node, Tree};
use super::{Interval, interval};
use crate::model::CallKind;

/// The calls of one kind, with their nested calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KindTime {
    pub kind: CallKind,
    /// Outermost calls.
    pub runs: u64,
    /// Nested calls.
    pub nested: u64,
    /// Failed outermost calls.
    pub failed: u64,
    /// Sum of the wall times of the outermost calls.
    pub wall_ns: u64,
    /// Time in which at least one outermost call ran.
    pub running_ns: u64,
    pub user_ns: u64,
    pub system_ns: u64,
    /// Largest resident set of one process. `None` if unknown for all.
    pub max_rss_bytes: Option<u64>,
}

impl KindTime {
    fn new(kind: CallKind) -> Self {
        Self {
            kind,
            runs: 0,
            nested: 0,
            failed: 0,
            wall_ns: 0,
            running_ns: 0,
            user_ns: 0,
            system_ns: 0,
            max_rss_bytes: None,
        }
    }

    pub fn cpu_ns(&self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }

    fn add(&mut self, node: &Node<'_>) {
        let usage = node.call.usage;
        self.user_ns = self.user_ns.saturating_add(usage.user_ns);
        self.system_ns = self.system_ns.saturating_add(usage.system_ns);
        self.max_rss_bytes = self.max_rss_bytes.max(usage.max_rss_bytes);
        if node.is_root() {
            self.runs += 1;
            self.failed += u64::from(node.call.status.is_some_and(|it| !it.is_success()));
            self.wall_ns = self.wall_ns.saturating_add(node.wall_ns());
        } else {
            self.nested += 1;
        }
    }
}

/// Calls that only queried the version or flags of a tool, with their nested calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Queries {
    pub runs: u64,
    /// Sum of wall times.
    pub wall_ns: u64,
    pub cpu_ns: u64,
}

pub(super) fn kinds(tree: &Tree<'_>) -> Vec<KindTime> {
    let mut kinds: BTreeMap<CallKind, (KindTime, Vec<Interval>)> = BTreeMap::new();
    for node in tree.nodes().iter().filter(|it| !it.is_query) {
        let (kind, intervals) = kinds
            .entry(node.root_kind)
            .or_insert_with(|| (KindTime::new(node.root_kind), Vec::new()));
        kind.add(node);
        if node.is_root() {
            intervals.push(node.interval);
        }
    }
    let mut kinds: Vec<KindTime> = kinds
        .into_values()
        .map(|(kind, intervals)| KindTime {
            running_ns: interval::union(intervals.into_iter()),
            ..kind
        })
        .collect();
    kinds.sort_by_key(|it| std::cmp::Reverse(it.cpu_ns()));
    kinds
}

pub(super) fn queries(tree: &Tree<'_>) -> Queries {
    let mut queries = Queries::default();
    for node in tree.nodes().iter().filter(|it| it.is_query) {
        queries.cpu_ns = queries.cpu_ns.saturating_add(node.cpu_ns());
        if node.is_root() {
            queries.runs += 1;
            queries.wall_ns = queries.wall_ns.saturating_add(node.wall_ns());
        }
    }
    queries
}
