//! What people and machines get to see of a trace: text for a terminal, JSON, Prometheus metrics.
//!
//! Each takes a [`Trace`](tracer_core::model::Trace) and writes; none of them reads a clock, a file or the environment, so the same
//! trace always looks the same. Numbers come from [`tracer_core::report`]; nothing is computed here but layout.
//! All text that came from a build is escaped before it reaches a terminal.

mod analysis;
mod analysis_diff;
mod analysis_head;
mod json;
pub(crate) mod metrics;
pub mod style;
mod text;
pub mod units;

pub use analysis::analysis;
pub use analysis_diff::analysis_diff;
pub use json::{json, schema};
pub use metrics::metrics;
pub use style::Style;
pub use text::{Cost, text};

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
