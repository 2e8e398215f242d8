//! The nesting of tool calls: the C compiler under `cgo`, the C linker under `link`.

use std::collections::HashMap;

use super::timeline::starters;
use super::{Interval, cpu_ns};
use crate::event::{Ktime, Usage};
use crate::model::{CallKind, ToolCall};

/// The calls of a build, each with its outermost call.
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

/// One call in the tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) call: &'a ToolCall,
    pub(super) interval: Interval,
    /// Index of the outermost call; its own index if it is the outermost one.
    pub(super) root: usize,
    pub(super) index: usize,
    pub(super) root_kind: CallKind,
    /// True if the outermost call only queried a version or flags.
    pub(super) is_query: bool,
}

impl Node<'_> {
    pub(super) fn is_root(&self) -> bool {
        self.root == self.index
    }

    /// True if the call works on a package, or for the user.
    pub(super) fn is_of_use(&self) -> bool {
        self.call.package.is_some() || self.root_kind.is_for_user()
    }

    pub(super) fn wall_ns(&self) -> u64 {
        self.interval.1.since(self.interval.0)
    }

    pub(super) fn cpu_ns(&self) -> u64 {
        cpu_ns(self.call.usage)
    }
}

/// Gives a wrapper (`-toolexec`, a script as `CC`) the kind of the tool that it runs.
fn resolve_wrappers(nodes: &mut [Node<'_>]) {
    let mut inside = HashMap::new();
    for node in nodes.iter() {
        if node.root_kind == CallKind::Other && node.call.kind != CallKind::Other {
            let tool = (node.call.kind, node.call.is_query);
            inside.entry(node.root).or_insert(tool);
        }
    }
    for node in nodes {
        if let Some((kind, is_query)) = inside.get(&node.root) {
            node.root_kind = *kind;
            node.is_query = *is_query;
        }
    }
}

impl<'a> Tree<'a> {
    /// Builds the tree. Calls without a seen end last until `end`.
    pub(super) fn of(calls: &'a [ToolCall], end: Ktime) -> Self {
        let mut nodes: Vec<Node<'a>> = Vec::with_capacity(calls.len());
        for (index, (call, starter)) in calls.iter().zip(starters(calls)).enumerate() {
            let above = starter.and_then(|it| nodes.get(it)).copied();
            nodes.push(Node {
                call,
                interval: (call.start, call.end.unwrap_or(end)),
                root: above.map_or(index, |it| it.root),
                index,
                root_kind: above.map_or(call.kind, |it| it.root_kind),
                is_query: above.map_or(call.is_query, |it| it.is_query),
            });
        }
        resolve_wrappers(&mut nodes);
        Self { nodes }
    }

    /// Every call, including queries.
    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// Outermost calls that are no queries.
    pub(super) fn working(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter().filter(|it| it.is_root() && !it.is_query)
    }

    /// Usage of the calls for the build, without those for the user.
    pub(super) fn usage_for_the_build(&self) -> Usage {
        let for_the_build = self.nodes.iter().filter(|it| !it.root_kind.is_for_user());
        Usage::total(for_the_build.map(|it| it.call.usage))
    }

    /// Index of the call with the largest resident set.
    pub(super) fn largest(&self) -> Option<u32> {
        let largest = self
            .nodes
            .iter()
            .filter(|it| !it.root_kind.is_for_user())
            .max_by_key(|it| it.call.usage.max_rss_bytes)?;
        u32::try_from(largest.index)
            .ok()
            .filter(|_| largest.call.usage.max_rss_bytes.is_some())
    }
}
