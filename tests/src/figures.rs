//! Sizes and results of the fault tests: short in CI, long under `cargo xtask bench reliability`. That command sets [`LONG`] and
//! makes a table of the lines that begin with [`MARK`].

use std::env;
use std::fmt::Display;

/// Variable that requests the long form.
pub const LONG: &str = "GOTRACE_RELIABILITY";
/// Start of a line that is a row of the table. Tabs separate its columns.
pub const MARK: &str = "figure\t";

/// Number of tries.
pub fn size(short: usize, long: usize) -> usize {
    if env::var_os(LONG).is_some() {
        long
    } else {
        short
    }
}

/// Prints a row. The row contains counts only; the test asserts whether they are correct.
#[expect(
    clippy::print_stdout,
    reason = "cargo captures it unless asked to show it"
)]
pub fn print_figure(case: &str, tries: impl Display, seen: impl Display) {
    println!("{MARK}{case}\t{tries}\t{seen}");
}
