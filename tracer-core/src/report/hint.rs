//! Hints: facts with numbers that a user can act on. Sinks turn them into sentences.
//!
//! Each hint has a minimum duration and a minimum share of the build. No hint guesses a cause.

use schemars::JsonSchema;
use serde::Serialize;

use super::tree::Tree;
use super::{BuildReport, interval, ratio};
use crate::byte_string::ByteString;
use crate::model::{Build, CallKind};

/// Shortest build with hints.
const WORTH_A_HINT_NS: u64 = 1_000_000_000;

/// A fact that a user can act on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub enum Hint {
    /// Nothing came from the build cache.
    Cold { compiled: u32 },
    /// One call ran alone for at least a fifth of the build, although there were other CPUs.
    Alone {
        kind: CallKind,
        package: Option<ByteString>,
        ns: u64,
    },
    /// Only links ran for at least two fifths of the build.
    Linking { links: u64, ns: u64 },
    /// C tools took at least half of a link.
    ExternalLink {
        package: Option<ByteString>,
        ns: u64,
    },
    /// Loading packages took at least a quarter of the build.
    Loading { ns: u64 },
    /// The garbage collector ran in at least a quarter of the time of compilers and linkers.
    Collecting { ns: u64, of_ns: u64 },
}

/// The hints of one build, longest time first.
pub(super) fn hints(build: &Build, report: &BuildReport, tree: &Tree<'_>, cpus: u32) -> Vec<Hint> {
    if report.wall_ns < WORTH_A_HINT_NS {
        return Vec::new();
    }
    let mut hints: Vec<(u64, Hint)> = Vec::new();
    hints.extend(cold(build).map(|hint| (report.wall_ns, hint)));
    hints.extend(linking(report, tree));
    if cpus > 1 {
        hints.extend(alone(report, tree));
    }
    hints.extend(external_link(report));
    if reaches(report.loading_ns, report.wall_ns, 0.25) {
        hints.push((
            report.loading_ns,
            Hint::Loading {
                ns: report.loading_ns,
            },
        ));
    }
    let gc = &report.gc;
    if reaches(gc.ns, gc.of_ns, 0.25) {
        hints.push((
            gc.ns,
            Hint::Collecting {
                ns: gc.ns,
                of_ns: gc.of_ns,
            },
        ));
    }
    hints.sort_by_key(|&(ns, _)| std::cmp::Reverse(ns));
    hints.into_iter().map(|(_, hint)| hint).collect()
}

/// Hint about a cold cache. A build of few packages gets none, because it shows nothing about the cache.
fn cold(build: &Build) -> Option<Hint> {
    let compiled = build.packages.compiled;
    (build.packages.cached == Some(0) && compiled >= 20).then_some(Hint::Cold { compiled })
}

/// Hint about a call that ran alone. Links are excluded, because the last link always runs alone; see [`linking`].
fn alone(report: &BuildReport, tree: &Tree<'_>) -> Option<(u64, Hint)> {
    let working: Vec<_> = tree.working().collect();
    let spans: Vec<_> = working.iter().map(|it| it.interval).collect();
    let alone = interval::alone(&spans).into_iter().zip(working);
    let (ns, node) = alone
        .filter(|(_, it)| it.call.kind != CallKind::Link)
        .max_by_key(|&(ns, _)| ns)?;
    let hint = Hint::Alone {
        kind: node.call.kind,
        package: node.call.package.clone(),
        ns,
    };
    reaches(ns, report.wall_ns, 0.2).then_some((ns, hint))
}

fn linking(report: &BuildReport, tree: &Tree<'_>) -> Option<(u64, Hint)> {
    let others = interval::union(
        tree.working()
            .filter(|it| it.call.kind != CallKind::Link)
            .map(|it| it.interval),
    );
    let ns = report.tools_running_ns.saturating_sub(others);
    let hint = Hint::Linking {
        links: super::len(&report.links),
        ns,
    };
    reaches(ns, report.wall_ns, 0.4).then_some((ns, hint))
}

fn external_link(report: &BuildReport) -> Option<(u64, Hint)> {
    let link = report.links.iter().max_by_key(|it| it.external_ns)?;
    let hint = Hint::ExternalLink {
        package: link.package.clone(),
        ns: link.external_ns,
    };
    reaches(link.external_ns, link.wall_ns, 0.5).then_some((link.external_ns, hint))
}

/// True if the part is long enough and a large enough share.
fn reaches(part: u64, whole: u64, share: f64) -> bool {
    part >= WORTH_A_HINT_NS / 2 && ratio(part, whole).is_some_and(|it| it >= share)
}
