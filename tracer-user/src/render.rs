//! Output of a trace: text for a terminal, JSON, Prometheus metrics.
//!
//! Each format takes a [`FinishedTrace`](tracer_core::finished::FinishedTrace) and writes it. No format reads a clock, a file or the
//! environment, so the same trace always gives the same output. Numbers come from [`tracer_core::report`]; this module computes only
//! the layout. It escapes all text of a build before a terminal gets it.

mod advice;
mod analysis;
mod analysis_diff;
mod analysis_head;
mod comparison;
mod document;
mod explain;
mod json;
mod memory;
pub(crate) mod metrics;
mod price;
pub mod style;
mod test_ledger;
mod text;
mod time;
pub mod units;
mod what_if;

pub use advice::{AdviceView, advice, cost};
pub use analysis::analysis;
pub use analysis_diff::analysis_diff;
pub use comparison::comparison;
pub use document::{Layout, describe, seconds, write_document};
pub use explain::{explanation, package, top_causes};
pub use json::{json, schema};
pub use memory::memory;
pub use metrics::metrics;
pub use price::prices;
pub use style::Style;
pub use test_ledger::test_ledger;
pub use text::{Cost, Facts, text};
pub use time::time;
pub use what_if::what_if;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
