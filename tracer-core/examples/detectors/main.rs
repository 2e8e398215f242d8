//! Recall, precision and delay of the detectors of `tracer_core::judge`, for `cargo xtask bench detectors`.
//!
//! Without arguments, the histories are generated, so their changes are known. `--series DIR` reads labelled series from CSV files.
//! `--seed N` generates other histories. Nothing is asserted.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod csv;
mod detector;
mod history;
mod noise;
mod random;
mod score;
mod series;
mod table;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// Seed of the published table.
const SEED: u64 = 18;

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark has arguments; the library has none"
)]
fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (mut seed, mut dir) = (SEED, None);
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        match (name.to_str(), value) {
            (Some("--series"), Some(value)) => dir = Some(PathBuf::from(value)),
            (Some("--seed"), Some(value)) => {
                let text = value.to_string_lossy();
                let number = text.parse();
                seed = number.with_context(|| format!("--seed: no number: {text}"))?;
            }
            _ => bail!("usage: detectors [--seed N] [--series DIR]"),
        }
    }
    if let Some(dir) = dir {
        return series::run(&dir);
    }
    table::run(seed);
    Ok(())
}
