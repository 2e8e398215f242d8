//! The actions of a build as tasks of the simulation: how much CPU time each needs, how many threads it can use, how long it is blocked.
//!
//! The kernel shows the CPU time of each tool. The rest follows from the observed times, because actions that ran at once shared the CPUs.
//! An action that used more than its share has several threads, and one that used less was blocked.

use crate::event::Ktime;
use crate::model::{Action, Build, CallKind, ToolCall};
use crate::report::{interval, starters};

use super::ActionGraph;
use super::simulate::{Part, Task};

/// The phase in which the compiler works on several functions at once.
const PARALLEL_PHASE: &str = "be:compilefuncs";
/// The `go` command lets the compiler use at most so many threads (`gcBackendConcurrency` in `cmd/go/internal/work/gc.go`; since Go 1.26 a
/// busy build lets it use fewer).
const COMPILER_THREADS: f64 = 4.0;
/// Number of rounds in which shares and threads approach each other.
const ROUNDS: usize = 4;

/// The observations of one action.
struct Observed {
    span: (Ktime, Ktime),
    /// Time in which a tool of it ran, and CPU time of its tools.
    tool_ns: f64,
    cpu_ns: f64,
    /// The part of `tool_ns` in which the compiler could use several threads.
    parallel: f64,
    threads: f64,
    /// The part of the requested CPU time that it got.
    share: f64,
    peak_bytes: u64,
}

impl Observed {
    fn wall_ns(&self) -> f64 {
        float(self.span.1.since(self.span.0))
    }

    /// Time without a tool that the `go` command could have worked.
    fn own_ns(&self) -> f64 {
        (self.wall_ns() - self.tool_ns).max(0.0) * self.share
    }
}

/// The tasks of a build that ran on `from` CPUs, for a machine with `to` CPUs.
pub(super) fn tasks(build: &Build, graph: &ActionGraph, from: f64, to: f64) -> Vec<Task> {
    let observed = calibrate(build, graph, from);
    let own: f64 = observed.iter().map(Observed::own_ns).sum();
    let working = if own > 0.0 {
        (float(go_cpu_ns(build)) / own).min(1.0)
    } else {
        1.0
    };
    let task = |(index, it): (usize, &Observed)| Task {
        below: graph.below(index).to_vec(),
        parts: parts(it, working, from, to),
        peak_bytes: it.peak_bytes,
    };
    observed.iter().enumerate().map(task).collect()
}

/// CPU time of the `go` command itself.
fn go_cpu_ns(build: &Build) -> u64 {
    let tools = build.calls.iter().filter(|it| !it.kind.is_for_user());
    let tools = tools.map(|it| crate::report::cpu_ns(it.usage));
    let tools = tools.fold(0, u64::saturating_add);
    crate::report::cpu_ns(build.usage).saturating_sub(tools)
}

fn calibrate(build: &Build, graph: &ActionGraph, cpus: f64) -> Vec<Observed> {
    let starters = starters(&build.calls);
    let actions = build.actions.iter().zip(graph.spans());
    let actions = actions.map(|(action, span)| observed(build, &starters, action, *span));
    let mut all: Vec<Observed> = actions.collect();
    for _ in 0..ROUNDS {
        let shares = shares(&all, cpus);
        for (it, share) in all.iter_mut().zip(shares) {
            it.share = share;
            let expected = it.tool_ns * share;
            if expected > 0.0 {
                it.threads = (it.cpu_ns / expected).clamp(1.0, cpus.max(1.0));
            }
        }
    }
    all
}

fn observed(
    build: &Build,
    starters: &[Option<usize>],
    action: &Action,
    span: (Ktime, Ktime),
) -> Observed {
    let indices = action.calls.iter().map(|it| *it as usize);
    let calls: Vec<(usize, &ToolCall)> = indices
        .filter_map(|it| Some((it, build.calls.get(it)?)))
        .collect();
    let within = |it: &ToolCall| (it.start.max(span.0), it.end.unwrap_or(span.1).min(span.1));
    let outermost = calls
        .iter()
        .filter(|(index, _)| starters.get(*index).copied().flatten().is_none());
    let tool_ns = interval::union(outermost.map(|(_, it)| within(it)));
    let cpu = calls.iter().map(|(_, it)| crate::report::cpu_ns(it.usage));
    let parallel = calls.iter().filter(|(_, it)| it.kind == CallKind::Compile);
    let parallel = parallel.flat_map(|(_, it)| &it.phases);
    let parallel = parallel.filter(|it| it.name == PARALLEL_PHASE);
    let parallel_ns = interval::union(parallel.map(|it| (it.start, it.end.unwrap_or(span.1))));
    let peaks = calls.iter().filter_map(|(_, it)| it.usage.max_rss_bytes);
    Observed {
        span,
        tool_ns: float(tool_ns),
        cpu_ns: float(cpu.fold(0, u64::saturating_add)),
        parallel: crate::report::ratio(parallel_ns, tool_ns)
            .unwrap_or(0.0)
            .min(1.0),
        threads: 1.0,
        share: 1.0,
        peak_bytes: peaks.max().unwrap_or(0),
    }
}

/// The average part of its requested CPU time that each action got, from the actions that ran at the same time.
fn shares(all: &[Observed], cpus: f64) -> Vec<f64> {
    let mut edges: Vec<(Ktime, bool, usize)> = Vec::with_capacity(all.len() * 2);
    for (index, it) in all.iter().enumerate() {
        if it.span.0 < it.span.1 {
            edges.push((it.span.0, true, index));
            edges.push((it.span.1, false, index));
        }
    }
    edges.sort_unstable();
    // The integral of the share over the time, and its value at the begin of each action.
    let mut integral = 0.0;
    let mut begun = vec![0.0; all.len()];
    let mut shares = vec![1.0; all.len()];
    let mut threads = 0.0_f64;
    let mut since = Ktime(0);
    for (at, begins, index) in edges {
        let share = cpus / threads.max(cpus);
        integral += share * float(at.since(since));
        since = at;
        let Some(it) = all.get(index) else {
            continue;
        };
        if begins {
            threads += it.threads;
            if let Some(begun) = begun.get_mut(index) {
                *begun = integral;
            }
        } else {
            threads = (threads - it.threads).max(0.0);
            let wall = float(it.span.1.since(it.span.0));
            if let (Some(share), Some(begun)) = (shares.get_mut(index), begun.get(index)) {
                *share = ((integral - begun) / wall).clamp(f64::EPSILON, 1.0);
            }
        }
    }
    shares
}

/// The parts of an action on a machine with `to` CPUs. The `go` command worked in the part `working` of its own time.
fn parts(it: &Observed, working: f64, from: f64, to: f64) -> Vec<Part> {
    let mut parts = Vec::new();
    // The `go` command itself: hashes, the cache, the start of the tool.
    let own = it.own_ns();
    if own > 0.0 {
        parts.push(Part::Work {
            cpu_ns: own * working,
            threads: 1.0,
        });
    }
    let (serial, parallel) = (1.0 - it.parallel, it.parallel);
    if parallel > 0.0 && it.cpu_ns > 0.0 {
        let threads = ((it.threads - serial) / parallel).clamp(1.0, from.max(1.0));
        let all = serial + parallel * threads;
        let more = COMPILER_THREADS.min(to) / COMPILER_THREADS.min(from);
        let split = [
            (serial / all, 1.0),
            (parallel * threads / all, threads * more.max(1.0)),
        ];
        parts.extend(split.map(|(part, threads)| Part::Work {
            cpu_ns: it.cpu_ns * part,
            threads,
        }));
    } else if it.cpu_ns > 0.0 {
        parts.push(Part::Work {
            cpu_ns: it.cpu_ns,
            threads: it.threads,
        });
    }
    let idle = own * (1.0 - working) / it.share;
    let blocked = (it.tool_ns - it.cpu_ns / it.threads / it.share).max(0.0) + idle;
    if blocked > 0.0 {
        parts.push(Part::Blocked { ns: blocked });
    }
    parts
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a prediction needs no more than 53 bits"
)]
pub(super) fn float(ns: u64) -> f64 {
    ns as f64
}
