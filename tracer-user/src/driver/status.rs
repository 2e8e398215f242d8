//! The status of the observer: one value that the loop passes unchanged to `/metrics`.

use serde::{Deserialize, Serialize};

use super::{Analyses, LoopCpu, SelfTestVerdict};
use crate::proc::ProcessUsage;

/// The status. The loop sets all fields except the last five, which `agent::observer` sets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ObserverStatus {
    pub events: Vec<Events>,
    /// Records that could not be decoded.
    pub n_unreadable: u64,
    /// CPU time of the loop by part; unknown where its events are handed over to a next agent.
    pub loop_cpu: Option<LoopCpu>,
    /// Uprobes that are attached.
    pub n_probes: usize,
    /// Running builds, including those outside any `go` command.
    pub n_sessions: usize,
    /// Sessions that were not traced because there were too many.
    pub n_refused: u64,
    /// Outputs that wait to be read.
    pub n_unread: usize,
    /// Outputs that were not read because the queue was full.
    pub n_never_read: u64,
    /// Analyses of outputs, by result.
    pub analyses: Analyses,
    /// The result of the self-test.
    pub self_test: SelfTestVerdict,
    /// Longest recent delay between a record and its processing, in nanoseconds.
    pub delay_ns: u64,
    /// CPU time of the observer and its output readers, in nanoseconds.
    pub cpu_ns: u64,
    pub resident_bytes: u64,
    pub process: ProcessUsage,
    /// Builds that wait for the storage process.
    pub n_waiting: usize,
    /// Builds that were dropped because the backlog was full.
    pub n_dropped: u64,
    /// The effects of missing privileges.
    pub limits: Vec<String>,
}

/// Counts of the records of a kind, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The number in `tracer_abi::Kind`.
    pub kind: u16,
    pub seen: u64,
    pub lost: u64,
}
