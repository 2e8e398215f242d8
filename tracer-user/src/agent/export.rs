//! Where the agent sends what it knows, beside the pages that it serves. Nothing leaves the machine unless it is configured.
//!
//! Each output has a thread of its own behind a bounded queue ([`worker`]), so one that is slow or gone costs the memory of its queue,
//! a few connections and a number ([`Counts`]), and no build and no other output waits for it. What is sent, and when, is each
//! output's own to say. HTTP is [`client`]'s.

pub mod client;
pub mod otlp;
pub mod outputs;
pub mod pushgateway;
pub mod retry;
pub mod textfile;
pub mod worker;

/// What became of what was handed to an output, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Delivered.
    pub sent: u64,
    /// Refused for good, or not delivered after all tries. What is kept for later counts again each time.
    pub failed: u64,
    /// Had no room in the queue, or in what is kept for later.
    pub dropped: u64,
    /// Not delivered yet: in the queue, at work, or kept for later.
    pub waiting: u64,
}
