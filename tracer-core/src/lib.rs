//! The pure middle of gotrace: bytes become events, events become builds.
//!
//! The inputs are records (`decode`) or a recording; the outputs are [`effect::Effect`]s and [`model::Build`]s. This crate never reads a
//! clock, a file or the network, and never logs. It never fails on input: every gap is a [`model::Anomaly`].
#![forbid(unsafe_code)]

pub mod advise;
pub mod byte_string;
pub mod compare;
pub mod correlate;
pub mod decode;
pub mod effect;
pub mod environment;
pub mod event;
pub mod explain;
pub mod finished;
pub mod golang;
pub mod hex;
pub mod history;
pub mod import_graph;
pub mod judge;
pub mod model;
pub mod origin;
pub mod price;
pub mod recording;
pub mod redact;
pub mod report;
pub mod schedule;
pub mod sessions;
