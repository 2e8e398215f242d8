//! Arithmetic of overlapping intervals. An interval that ends before its start is empty.

use super::Interval;
use crate::event::Ktime;

/// Time in which at least one interval was active.
pub(crate) fn union(intervals: impl Iterator<Item = Interval>) -> u64 {
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
pub(crate) fn alone(intervals: &[Interval]) -> Vec<u64> {
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

/// Time in which none, one, two and so on of the intervals were active, within `whole`.
pub(crate) fn levels(intervals: &[Interval], whole: Interval) -> Vec<u64> {
    let mut levels = vec![0_u64];
    for (n, (start, end)) in pieces(intervals, whole) {
        if levels.len() <= n {
            levels.resize(n + 1, 0);
        }
        if let Some(level) = levels.get_mut(n) {
            *level = level.saturating_add(end.since(start));
        }
    }
    levels
}

/// The average number of active intervals in each of `n` equal parts of `whole`.
pub(crate) fn averages(intervals: &[Interval], whole: Interval, n: usize) -> Vec<f64> {
    let parts = u64::try_from(n).unwrap_or(u64::MAX).max(1);
    let length = whole.1.since(whole.0).div_ceil(parts).max(1);
    let mut busy = vec![0_u64; n];
    for (level, (start, end)) in pieces(intervals, whole) {
        let level = u64::try_from(level).unwrap_or(u64::MAX);
        let mut from = start.since(whole.0);
        let to = end.since(whole.0);
        while from < to {
            let part = from / length;
            let until = part.saturating_add(1).saturating_mul(length).min(to);
            let part = usize::try_from(part).unwrap_or(usize::MAX);
            if let Some(busy) = busy.get_mut(part) {
                *busy = busy.saturating_add(level.saturating_mul(until - from));
            }
            from = until;
        }
    }
    let average = |busy: u64| super::ratio(busy, length).unwrap_or(0.0);
    busy.into_iter().map(average).collect()
}

/// The pieces of `whole` in which the number of active intervals is the same.
fn pieces(intervals: &[Interval], (begin, end): Interval) -> Vec<(usize, Interval)> {
    let inside = |at: Ktime| at.clamp(begin, end.max(begin));
    let mut edges: Vec<(Ktime, bool)> = Vec::with_capacity(intervals.len() * 2);
    for &(start, end) in intervals.iter().filter(|(start, end)| start < end) {
        edges.push((inside(start), true));
        edges.push((inside(end), false));
    }
    edges.sort_unstable();
    let mut pieces = Vec::with_capacity(edges.len() + 1);
    let mut n = 0_usize;
    let mut since = begin;
    for (at, begins) in edges {
        if since < at {
            pieces.push((n, (since, at)));
        }
        since = at;
        n = if begins { n + 1 } else { n.saturating_sub(1) };
    }
    if since < end {
        pieces.push((n, (since, end)));
    }
    pieces
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

    #[test]
    fn levels_and_averages_cover_the_whole() {
        let intervals = at(&[(2, 6), (4, 12), (5, 5)]);
        let whole = (Ktime(0), Ktime(10));
        assert_eq!(levels(&intervals, whole), [2, 6, 2]);
        assert_eq!(averages(&intervals, whole, 5), [0.0, 1.0, 2.0, 1.0, 1.0]);
        assert_eq!(levels(&[], whole), [10]);
        assert_eq!(levels(&intervals, (Ktime(3), Ktime(3))), [0]);
    }
}
