//! What a test of faults tries, and what it counted: little in CI, much under `cargo xtask bench reliability`, which sets
//! [`LONG`] and makes a table of the lines that begin with [`MARK`].

use std::env;
use std::fmt::Display;

/// The variable that asks for the long form.
pub const LONG: &str = "GOTRACE_RELIABILITY";
/// How a line begins that is a row of the table. Its columns are set off by tabs.
pub const MARK: &str = "figure\t";

/// How often something is tried.
pub fn size(short: usize, long: usize) -> usize {
    if env::var_os(LONG).is_some() {
        long
    } else {
        short
    }
}

/// Says what came of it. A figure is what was counted; whether it is as it should be, the test asserts.
#[expect(clippy::print_stdout, reason = "cargo keeps it unless it is asked for")]
pub fn tell(case: &str, tries: impl Display, seen: impl Display) {
    println!("{MARK}{case}\t{tries}\t{seen}");
}
