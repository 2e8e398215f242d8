//! The longest chain of dependencies, and what each action contributes to it: the critical path method.
//!
//! It assumes any number of CPUs and workers, and the durations that were observed.

use std::collections::BinaryHeap;

use super::ActionGraph;

/// Slack and drag of each action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Critical {
    /// Duration of the longest chain.
    pub(super) longest_ns: u64,
    pub(super) actions: Vec<Share>,
}

/// The part of one action in the longest chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// The action can take so much longer until it lengthens the longest chain.
    pub(super) slack_ns: u64,
    /// The longest chain would be so much shorter if the action took no time.
    pub(super) drag_ns: u64,
}

impl Critical {
    /// `durations` has an element for each action of the graph.
    pub(super) fn of(graph: &ActionGraph, durations: &[u64]) -> Self {
        let heads = heads(graph, durations);
        let tails = tails(graph, durations);
        let through = heads
            .iter()
            .zip(&tails)
            .map(|(head, tail)| head.saturating_add(*tail));
        let through: Vec<u64> = through.collect();
        let longest_ns = through.iter().copied().max().unwrap_or(0);
        let around = around(graph, durations, &heads, &tails);
        let share = |((through, around), own): ((&u64, u64), &u64)| Share {
            slack_ns: longest_ns - through,
            // Without the action, either a chain around it or the rest of its own chain is the longest.
            drag_ns: longest_ns - around.max(through.saturating_sub(*own)),
        };
        let actions = through.iter().zip(around).zip(durations).map(share);
        Self {
            longest_ns,
            actions: actions.collect(),
        }
    }
}

/// The longest chain before each action.
fn heads(graph: &ActionGraph, durations: &[u64]) -> Vec<u64> {
    let mut heads: Vec<u64> = Vec::with_capacity(durations.len());
    for index in 0..durations.len() {
        let ends = graph.below(index).iter().map(|it| {
            let it = *it as usize;
            let (head, own) = (heads.get(it), durations.get(it));
            head.zip(own)
                .map_or(0, |(head, own)| head.saturating_add(*own))
        });
        heads.push(ends.max().unwrap_or(0));
    }
    heads
}

/// The longest chain that begins with each action.
fn tails(graph: &ActionGraph, durations: &[u64]) -> Vec<u64> {
    let mut tails: Vec<u64> = durations.to_vec();
    for index in (0..durations.len()).rev() {
        let own = tails.get(index).copied().unwrap_or(0);
        for below in graph.below(index) {
            let below = *below as usize;
            if let (Some(tail), Some(duration)) = (tails.get_mut(below), durations.get(below)) {
                *tail = (*tail).max(duration.saturating_add(own));
            }
        }
    }
    tails
}

/// For each action, the longest chain that does not contain it.
///
/// Actions are in an order in which each comes after those that it waits for. A chain without an action passes its position on one edge,
/// or begins after it, or ends before it. So each edge bounds the actions between its ends.
fn around(graph: &ActionGraph, durations: &[u64], heads: &[u64], tails: &[u64]) -> Vec<u64> {
    let n = durations.len();
    // Begin and end of a range of positions, and the longest chain over the edge.
    let mut ranges: Vec<(usize, usize, u64)> = Vec::new();
    for index in 0..n {
        let (head, own) = (heads.get(index), durations.get(index));
        let (Some(head), Some(own), Some(tail)) = (head, own, tails.get(index)) else {
            continue;
        };
        let chain_to_here = head.saturating_add(*own);
        ranges.push((index + 1, n, chain_to_here));
        ranges.push((0, index, *tail));
        for below in graph.below(index) {
            let below = *below as usize;
            let (head, own) = (heads.get(below), durations.get(below));
            let before = head
                .zip(own)
                .map_or(0, |(head, own)| head.saturating_add(*own));
            ranges.push((below + 1, index, before.saturating_add(*tail)));
        }
    }
    ranges.retain(|(begin, end, _)| begin < end);
    ranges.sort_unstable();
    let mut ranges = ranges.into_iter().peekable();
    let mut active: BinaryHeap<(u64, usize)> = BinaryHeap::new();
    let longest = |position: usize| {
        while let Some((_, end, chain)) = ranges.next_if(|it| it.0 <= position) {
            active.push((chain, end));
        }
        while active.peek().is_some_and(|(_, end)| *end <= position) {
            active.pop();
        }
        active.peek().map_or(0, |(chain, _)| *chain)
    };
    (0..n).map(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn graph(below: &[Vec<u32>]) -> ActionGraph {
        ActionGraph::from_parts(below.iter().map(|it| ((0, 0), it.clone())).collect())
    }

    /// The longest chain, found by trying every one.
    fn longest_chain(graph: &ActionGraph, durations: &[u64], from: usize) -> u64 {
        let below = graph.below(from).iter();
        let below = below.map(|it| longest_chain(graph, durations, *it as usize));
        durations[from] + below.max().unwrap_or(0)
    }

    fn longest(graph: &ActionGraph, durations: &[u64]) -> u64 {
        (0..durations.len())
            .map(|it| longest_chain(graph, durations, it))
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn an_action_beside_the_longest_chain_has_slack_and_no_drag() {
        // 0 → 1 → 3 and 0 → 2 → 3.
        let graph = graph(&[vec![], vec![0], vec![0], vec![1, 2]]);
        let critical = Critical::of(&graph, &[5, 10, 4, 1]);
        assert_eq!(critical.longest_ns, 16);
        let shares: Vec<(u64, u64)> = critical
            .actions
            .iter()
            .map(|it| (it.slack_ns, it.drag_ns))
            .collect();
        assert_eq!(shares, [(0, 5), (0, 6), (6, 0), (0, 1)]);
    }

    #[test]
    fn a_chain_of_many_actions_is_critical_throughout() {
        let n = 10_000_u32;
        let below: Vec<Vec<u32>> = (0..n)
            .map(|it| it.checked_sub(1).into_iter().collect())
            .collect();
        let critical = Critical::of(&graph(&below), &vec![1; n as usize]);
        assert_eq!(critical.longest_ns, u64::from(n));
        assert!(
            critical
                .actions
                .iter()
                .all(|it| (it.slack_ns, it.drag_ns) == (0, 1))
        );
    }

    fn any_graph() -> impl Strategy<Value = Vec<(u64, Vec<u32>)>> {
        let action = (0_u64..50, prop::collection::vec(0_u32..12, 0..4));
        prop::collection::vec(action, 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 200 }))]

        #[test]
        fn slack_and_drag_are_those_of_a_search_over_all_chains(actions in any_graph()) {
            let (durations, below): (Vec<u64>, Vec<Vec<u32>>) = actions.into_iter().unzip();
            let graph = graph(&below);
            let critical = Critical::of(&graph, &durations);
            let total = longest(&graph, &durations);
            prop_assert_eq!(critical.longest_ns, total);
            for (index, share) in critical.actions.iter().enumerate() {
                let mut without = durations.clone();
                without[index] = 0;
                prop_assert_eq!(share.drag_ns, total - longest(&graph, &without));
                let mut slower = durations.clone();
                slower[index] += share.slack_ns;
                prop_assert_eq!(longest(&graph, &slower), total);
                slower[index] += 1;
                prop_assert_eq!(longest(&graph, &slower), total + 1);
            }
        }
    }
}
