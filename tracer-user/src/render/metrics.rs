//! A trace as Prometheus metrics: counters of one run, in the text format. The agent adds its traces to the same families.
//!
//! Labels are few and bounded: no IDs, paths, hashes or raw flags. Values from a build pass [`guard`], which limits their length and
//! their number, so that no build can flood or break a scraper.

pub(crate) mod family;
pub(crate) mod fold;
pub(crate) mod guard;
pub(crate) mod label;
pub(crate) mod section;
mod size;
mod target;

use prometheus::{Registry, TextEncoder};
use tracer_core::finished::FinishedTrace;
use tracer_core::judge::{Sizes, judge};
use tracer_core::model::{Anomaly, EventCounts, Trace};

use family::Families;

/// The metrics of a trace. An error is a bug of gotrace, never a fault of the trace.
pub fn metrics(finished: &FinishedTrace) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    let mut families = Families::register(&registry)?;
    let mut sizes = Sizes::default();
    for build in finished.builds() {
        let judgement = judge(build, None, &mut sizes);
        fold::build(&mut families, build, &judgement)?;
    }
    observe_tracing(&mut families, finished.trace())?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn observe_tracing(families: &mut Families, trace: &Trace) -> Result<(), prometheus::Error> {
    let EventCounts {
        forks,
        execs,
        exits,
        reaped,
        renames,
        calls,
        lost,
        unreadable,
    } = trace.events;
    for (kind, n) in [
        ("fork", forks),
        ("exec", execs),
        ("exit", exits),
        ("reaped", reaped),
        ("rename", renames),
        ("call", calls),
    ] {
        families.events.with(&[kind])?.inc_by(n);
        families.lost.with(&[kind])?.inc_by(0);
    }
    families.unreadable.inc_by(unreadable);
    let mut by_kind = 0_u64;
    for anomaly in &trace.anomalies {
        if let Anomaly::Lost { kind, n } = anomaly {
            families.lost.with(&[kind])?.inc_by(*n);
            by_kind = by_kind.saturating_add(*n);
        }
    }
    let rest = lost.saturating_sub(by_kind);
    if rest > 0 {
        families.lost.with(&["unknown"])?.inc_by(rest);
    }
    let n_probes = trace.tools.iter().map(|it| it.attached.len()).sum();
    families.probes.set(count(n_probes));
    Ok(())
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
