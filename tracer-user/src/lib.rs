//! The rim of gotrace: all that touches the world. The command line, probes, the traced command, files, and what is shown.
//!
//! What is seen becomes events for `tracer_core`, which does the thinking. Only `cli` names clap, only the probe-loading modules
//! name aya, and only `main` ends the process.

pub mod agent;
mod atomic_file;
mod backoff;
pub mod bpf;
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
mod proc;
pub mod render;
pub mod sandbox;
pub mod summary;
pub mod toolchain;
mod wakeup;
mod worker;
