//! `cargo xtask bench usage`: hands over to the example `usage` in `tests/`, which reads recordings; xtask does not.

use anyhow::Result;

use crate::complete;

pub(crate) fn run(minor: &str) -> Result<()> {
    complete::example("usage", &[minor], minor)
}
