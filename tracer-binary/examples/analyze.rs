//! Prints the analysis of files as JSON: `cargo run -p tracer-binary --example analyze FILE...`.
#![expect(clippy::print_stdout, reason = "an example prints")]

use tracer_binary::{Options, analyze};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let analysis = analyze(&std::fs::read(&path)?, Options::default())?;
        println!("{}", serde_json::to_string(&analysis)?);
    }
    Ok(())
}
