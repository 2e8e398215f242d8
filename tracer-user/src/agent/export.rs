//! The exporters, which send builds and metrics. Without configuration, the agent sends nothing.
//!
//! Each output has its own thread behind a bounded queue (`worker`). A slow or unavailable receiver therefore costs only
//! the memory of the queue, a few connections and a counter ([`Counts`]). No build and no other output waits for it. Each
//! output decides what it sends and when. [`client`] contains the HTTP client.

pub mod client;
pub mod otlp;
pub mod outputs;
pub mod pushgateway;
pub mod textfile;

pub use crate::worker::Counts;
