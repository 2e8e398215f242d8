//! `cargo xtask bench usage`: runs the example `usage` in `tests/`, because xtask does not read recordings.

use anyhow::Result;

use crate::complete;

pub(crate) fn run(minor: &str) -> Result<()> {
    complete::example("usage", &[minor], minor)
}
