//! How the agent itself is doing, both parts of it together.

use std::time::Duration;

use tracer_abi::Kind;

use super::books::Books;
use crate::agent::export::Counts;
use crate::agent::metrics::{self, Queue, SelfStats};
use crate::agent::pipe::Health;
use crate::driver::{SelfTestVerdict, own_cpu_ns};
use crate::history::{Delivered, Forwarder};
use crate::proc;

impl Books<'_> {
    pub(super) fn stats(&self, health: &Health) -> SelfStats {
        let kind = |&(kind, seen, lost): &(u16, u64, u64)| metrics::Kind {
            name: Kind(kind).name(),
            seen,
            lost,
        };
        let counts = self.writer.counts();
        let length = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let central = self.forwarder.as_ref().map(|it| ("central", central(it)));
        SelfStats {
            events: health.events.iter().map(kind).collect(),
            n_unreadable: health.n_unreadable,
            n_probes: health.n_probes,
            n_running: health.n_sessions,
            analyses: health.analyses,
            queues: vec![
                Queue {
                    name: "outputs",
                    length: health.n_unread,
                    dropped: health.n_never_read,
                },
                Queue {
                    name: "analysis",
                    length: length(health.analyses.waiting),
                    dropped: health.analyses.dropped,
                },
                Queue {
                    name: "keeper",
                    length: health.n_waiting,
                    dropped: health.n_dropped,
                },
                Queue {
                    name: "history",
                    length: length(counts.waiting),
                    dropped: counts.dropped + counts.failed,
                },
                Queue {
                    name: "sessions",
                    length: health.n_sessions,
                    dropped: health.n_refused,
                },
            ],
            cpu_seconds: Duration::from_nanos(own_cpu_ns().saturating_add(health.cpu_ns))
                .as_secs_f64(),
            resident_bytes: proc::own_resident_bytes().saturating_add(health.resident_bytes),
            delay_seconds: Duration::from_nanos(health.delay_ns).as_secs_f64(),
            sees_itself: health.self_test == SelfTestVerdict::Seen,
            exports: self.outputs.counts().into_iter().chain(central).collect(),
            reload: self.reload,
        }
    }
}

/// The central history among the outputs.
fn central(forwarder: &Forwarder) -> Counts {
    let Delivered {
        sent,
        failed: _,
        refused,
        forgone,
        waiting,
    } = forwarder.counts();
    Counts {
        sent,
        failed: refused,
        dropped: forgone.builds + forgone.details,
        waiting,
    }
}
