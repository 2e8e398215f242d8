//! The time of a build: its critical path, and predictions for other conditions.
//!
//! The input is a build with its actions, their times and the imports in their cache keys; the output is plain data. An action waits for
//! other actions, for a free worker of the `go` command, and for a CPU. The first is known from the graph; the observed times show the rest.

mod critical;
mod go_memory_limit;
mod graph;
mod memory;
mod path;
mod simulate;
mod tasks;
mod test_ledger;
mod time;
mod what_if;

pub use graph::ActionGraph;
pub use memory::{KilledTool, MemoryReport, ToolMemory};
pub use path::{Step, StepKind};
pub use test_ledger::{Cost, TestChange, TestCost, TestLedger, TestPrediction};
pub use time::{ActionTime, Before, TimeReport};
pub use what_if::{Conditions, Fit, Model, NoPrediction, Prediction, WhatIf};
