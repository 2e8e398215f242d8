//! Arithmetic of overlapping intervals. An interval that ends before its start is empty.

use super::Interval;
use crate::event::Ktime;

/// Time in which at least one interval was active.
pub(super) fn union(intervals: impl Iterator<Item = Interval>) -> u64 {
    let mut sorted: Vec<Interval> = intervals.filter(|(start, end)| start < end).collect();
    sorted.sort_unstable();
    let mut total = 0_u64;
    let mut covered_to = Ktime(0);
    for (start, end) in sorted {
        total = total.saturating_add(end.since(start.max(covered_to)));
        covered_to = covered_to.max(end);
    }
    total
}

/// For each interval, the time in which no other was active.
pub(super) fn alone(intervals: &[Interval]) -> Vec<u64> {
    let mut edges: Vec<(Ktime, bool, usize)> = Vec::with_capacity(intervals.len() * 2);
    for (index, &(start, end)) in intervals
        .iter()
        .enumerate()
        .filter(|(_, (start, end))| start < end)
    {
        edges.push((start, true, index));
        edges.push((end, false, index));
    }
    edges.sort_unstable();
    let mut alone = vec![0_u64; intervals.len()];
    let mut running = std::collections::BTreeSet::new();
    let mut since = Ktime(0);
    for (at, begins, index) in edges {
        if let (1, Some(total)) = (
            running.len(),
            running
                .first()
                .and_then(|&only: &usize| alone.get_mut(only)),
        ) {
            *total += at.since(since);
        }
        since = at;
        if begins {
            running.insert(index);
        } else {
            running.remove(&index);
        }
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(spans: &[(u64, u64)]) -> Vec<Interval> {
        spans
            .iter()
            .map(|&(start, end)| (Ktime(start), Ktime(end)))
            .collect()
    }

    #[test]
    fn overlapping_time_counts_once() {
        assert_eq!(
            union(at(&[(0, 10), (5, 15), (20, 25), (21, 22)]).into_iter()),
            20
        );
        assert_eq!(union(at(&[(20, 25), (0, 10), (10, 12)]).into_iter()), 17);
        assert_eq!(union(at(&[(9, 3), (4, 4)]).into_iter()), 0);
    }

    #[test]
    fn alone_excludes_overlaps() {
        assert_eq!(alone(&at(&[(0, 10), (5, 15), (20, 25)])), [5, 5, 5]);
        assert_eq!(alone(&at(&[(0, 10), (2, 3), (3, 4), (9, 8)])), [8, 0, 0, 0]);
        assert_eq!(alone(&at(&[(0, 5), (5, 9)])), [5, 4]);
    }
}
