//! How the observer is doing: one value that goes as it is from the loop to `/metrics`.

use serde::{Deserialize, Serialize};

use super::{Analyses, SelfTestVerdict};

/// Filled in by the loop; the last four fields by the process that it runs in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ObserverStatus {
    pub events: Vec<Events>,
    /// Records that could not be decoded.
    pub n_unreadable: u64,
    /// Uprobes that are attached.
    pub n_probes: usize,
    /// Builds under way, those outside of any `go` command included.
    pub n_sessions: usize,
    /// Sessions that were not followed because there were too many.
    pub n_refused: u64,
    /// Outputs that wait to be read.
    pub n_unread: usize,
    /// Outputs that were not read because too many waited.
    pub n_never_read: u64,
    /// Analyses of outputs.
    pub analyses: Analyses,
    /// Whether builds would be seen.
    pub self_test: SelfTestVerdict,
    /// Longest time of late from a record to when it was taken: nanoseconds.
    pub delay_ns: u64,
    /// Of the observer, its output readers included.
    pub cpu_ns: u64,
    pub resident_bytes: u64,
    /// Builds that wait for the storage process.
    pub n_waiting: usize,
    /// Builds that there was no room for.
    pub n_dropped: u64,
}

/// Records of a kind, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// As `tracer_abi::Kind` has it.
    pub kind: u16,
    pub seen: u64,
    pub lost: u64,
}
