//! Where the agent sends what it knows, beside the pages that it serves. Nothing leaves the machine unless it is configured.
//!
//! Each output has a thread of its own behind a bounded queue (`worker`), so one that is slow or gone costs the memory of its queue,
//! a few connections and a number ([`Counts`]), and no build and no other output waits for it. What is sent, and when, is each
//! output's own to say. HTTP is [`client`]'s.

pub mod client;
pub mod otlp;
pub mod outputs;
pub mod pushgateway;
pub mod textfile;

pub use crate::worker::Counts;
