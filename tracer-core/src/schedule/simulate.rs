//! Executes a graph of tasks as the `go` command does: a fixed number of workers, each taking the ready task with the first priority.
//!
//! The running tasks share the CPUs by their number of threads. A task consists of parts, one after another, each with its own CPU time and
//! number of threads. Nothing else on the machine uses a CPU.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A part of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    /// Uses up to `threads` CPUs at once.
    Work { cpu_ns: f64, threads: f64 },
    /// Uses no CPU.
    Blocked { ns: f64 },
}

/// A task of the graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Task {
    /// The tasks that it waits for; each has a smaller index.
    pub(super) below: Vec<u32>,
    pub(super) parts: Vec<Part>,
    pub(super) peak_bytes: u64,
}

/// The limits of the machine and of the `go` command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    pub(super) cpus: f64,
    pub(super) workers: usize,
}

/// The result of a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Simulated {
    pub(super) wall_ns: f64,
    /// Largest sum of the peaks of tasks that ran at once.
    pub(super) peak_bytes: u64,
}

/// The position of each task in a depth-first walk from the tasks that no other waits for: the priority that the `go` command gives it.
pub(super) fn priorities(tasks: &[Task]) -> Vec<u32> {
    let mut is_below = vec![false; tasks.len()];
    for it in tasks.iter().flat_map(|it| &it.below) {
        if let Some(is_below) = is_below.get_mut(*it as usize) {
            *is_below = true;
        }
    }
    let mut priorities: Vec<Option<u32>> = vec![None; tasks.len()];
    let mut next = 0;
    let roots = (0..tasks.len()).filter(|it| !is_below.get(*it).copied().unwrap_or(true));
    for root in roots {
        // A stack instead of recursion, because a chain of packages can be long.
        let mut stack = vec![(root, 0_usize)];
        while let Some((task, at)) = stack.pop() {
            let is_done = priorities.get(task).is_none_or(Option::is_some);
            if is_done {
                continue;
            }
            match tasks.get(task).and_then(|it| it.below.get(at)) {
                Some(below) => {
                    stack.push((task, at + 1));
                    stack.push((*below as usize, 0));
                }
                None => {
                    if let Some(priority) = priorities.get_mut(task) {
                        *priority = Some(next);
                        next += 1;
                    }
                }
            }
        }
    }
    priorities
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect()
}

/// A running task.
struct Running {
    task: usize,
    part: usize,
    /// CPU time or time that is left in the part.
    left_ns: f64,
}

/// Runs the tasks. `priorities` has an element for each.
pub(super) fn simulate(tasks: &[Task], priorities: &[u32], limits: Limits) -> Simulated {
    let mut pending: Vec<usize> = tasks.iter().map(|it| it.below.len()).collect();
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        for below in &task.below {
            if let Some(above) = above.get_mut(*below as usize) {
                above.push(index);
            }
        }
    }
    let priority = |it: usize| Reverse((priorities.get(it).copied().unwrap_or(0), it));
    let ready = pending.iter().enumerate().filter(|(_, n)| **n == 0);
    let mut ready: BinaryHeap<_> = ready.map(|(index, _)| priority(index)).collect();
    let mut running: Vec<Running> = Vec::new();
    let mut result = Simulated::default();
    loop {
        while running.len() < limits.workers.max(1)
            && let Some(Reverse((_, task))) = ready.pop()
        {
            running.push(Running {
                task,
                part: 0,
                left_ns: left_of(tasks, task, 0),
            });
        }
        if running.is_empty() {
            return result;
        }
        let peaks = running.iter().filter_map(|it| tasks.get(it.task));
        let peaks = peaks.map(|it| it.peak_bytes);
        result.peak_bytes = result.peak_bytes.max(peaks.fold(0, u64::saturating_add));
        let threads: f64 = running.iter().map(|it| threads(tasks, it)).sum();
        let share = (limits.cpus / threads.max(limits.cpus)).min(1.0);
        let rate = |it: &Running| match part(tasks, it.task, it.part) {
            Some(Part::Work { threads, .. }) => (threads * share).max(f64::MIN_POSITIVE),
            Some(Part::Blocked { .. }) | None => 1.0,
        };
        let step = running.iter().map(|it| it.left_ns / rate(it));
        let step = step.fold(f64::INFINITY, f64::min);
        result.wall_ns += step;
        for it in &mut running {
            let rate = rate(it);
            // The part that ends first ends exactly.
            it.left_ns = if it.left_ns / rate <= step {
                0.0
            } else {
                it.left_ns - step * rate
            };
        }
        for it in &mut running {
            if it.left_ns <= 0.0 {
                it.part += 1;
                it.left_ns = left_of(tasks, it.task, it.part);
            }
        }
        let is_done = |it: &Running| part(tasks, it.task, it.part).is_none();
        let done: Vec<usize> = running
            .iter()
            .filter(|it| is_done(it))
            .map(|it| it.task)
            .collect();
        running.retain(|it| !is_done(it));
        for task in done {
            for &next in above.get(task).into_iter().flatten() {
                if let Some(n) = pending.get_mut(next) {
                    *n = n.saturating_sub(1);
                    if *n == 0 {
                        ready.push(priority(next));
                    }
                }
            }
        }
    }
}

fn part(tasks: &[Task], task: usize, part: usize) -> Option<Part> {
    tasks.get(task)?.parts.get(part).copied()
}

fn left_of(tasks: &[Task], task: usize, at: usize) -> f64 {
    match part(tasks, task, at) {
        Some(Part::Work { cpu_ns, .. }) => cpu_ns,
        Some(Part::Blocked { ns }) => ns,
        None => 0.0,
    }
}

fn threads(tasks: &[Task], running: &Running) -> f64 {
    match part(tasks, running.task, running.part) {
        Some(Part::Work { threads, .. }) => threads,
        Some(Part::Blocked { .. }) | None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn task(below: &[u32], cpu_ns: f64, threads: f64) -> Task {
        Task {
            below: below.to_vec(),
            parts: vec![Part::Work { cpu_ns, threads }],
            peak_bytes: 1,
        }
    }

    fn wall(tasks: &[Task], cpus: f64, workers: usize) -> f64 {
        let limits = Limits { cpus, workers };
        simulate(tasks, &priorities(tasks), limits).wall_ns
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn independent_tasks_share_workers_and_cpus() {
        let tasks = vec![task(&[], 10.0, 1.0); 4];
        assert_close(wall(&tasks, 1.0, 1), 40.0);
        assert_close(wall(&tasks, 4.0, 1), 40.0);
        assert_close(wall(&tasks, 2.0, 2), 20.0);
        assert_close(wall(&tasks, 2.0, 4), 20.0);
        assert_close(wall(&tasks, 8.0, 8), 10.0);
    }

    #[test]
    fn a_task_with_threads_uses_idle_cpus_only() {
        let tasks = [task(&[], 10.0, 2.0), task(&[], 10.0, 1.0)];
        assert_close(wall(&tasks[..1], 4.0, 2), 5.0);
        // Both get two thirds of what they could use, until the first ends.
        assert_close(wall(&tasks, 2.0, 2), 12.5);
    }

    #[test]
    fn blocked_time_uses_a_worker_and_no_cpu() {
        let mut blocked = task(&[], 1.0, 1.0);
        blocked.parts.push(Part::Blocked { ns: 9.0 });
        let tasks = vec![blocked; 2];
        assert_close(wall(&tasks, 1.0, 2), 11.0);
        assert_close(wall(&tasks, 1.0, 1), 20.0);
    }

    #[test]
    fn priorities_are_those_of_a_walk_from_the_roots() {
        // 4 waits for 3 and 0, 3 waits for 2 and 1.
        let below: [&[u32]; 5] = [&[], &[], &[], &[2, 1], &[3, 0]];
        let tasks: Vec<Task> = below.iter().map(|it| task(it, 1.0, 1.0)).collect();
        assert_eq!(priorities(&tasks), [3, 1, 0, 2, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 200 }))]

        #[test]
        fn the_time_lies_between_the_bounds_of_work_and_chain(
            tasks in prop::collection::vec((0_u32..20, prop::collection::vec(0_u32..30, 0..4)), 1..30),
            cpus in 1_u32..5,
            workers in 1_usize..6,
        ) {
            let tasks: Vec<Task> = (0u32..)
                .zip(tasks)
                .map(|(index, (cpu, mut below))| {
                    below.retain(|it| *it < index);
                    below.sort_unstable();
                    below.dedup();
                    task(&below, f64::from(cpu), 1.0)
                })
                .collect();
            let work: f64 = tasks.iter().map(|it| left_of(std::slice::from_ref(it), 0, 0)).sum();
            let longest = wall(&tasks, 1e6, usize::MAX);
            let wall = wall(&tasks, f64::from(cpus), workers);
            let usable = f64::from(cpus.min(u32::try_from(workers).unwrap()));
            prop_assert!(wall + 1e-6 >= longest.max(work / usable), "{wall} {longest} {work}");
            // Graham's bound for list scheduling.
            prop_assert!(wall <= work / usable + longest + 1e-6, "{wall} {longest} {work}");
        }
    }
}
