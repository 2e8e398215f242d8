//! The rim of gotrace. It does all input and output: command line, probes, the traced command, files and reports.
//!
//! The rim turns its observations into events for `tracer_core`, which does all analysis. Only `cli` uses clap, only the modules
//! that load and attach probes use aya, and only `main` ends the process.

pub mod agent;
mod atomic_file;
mod backoff;
pub mod bpf;
mod cache_scan;
pub mod cli;
mod clock;
pub mod config;
pub mod crash;
pub mod digest_key;
pub mod doctor;
pub mod driver;
pub mod history;
pub mod inspect;
pub mod install;
pub mod launch;
pub mod log;
mod proc;
pub mod render;
pub mod sandbox;
pub mod summary;
pub mod toolchain;
mod wakeup;
mod worker;
