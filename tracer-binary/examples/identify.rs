//! Prints the identity of files: `cargo run -p tracer-binary --example identify FILE...`.
#![expect(clippy::print_stdout, reason = "an example prints")]

fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        println!(
            "{path}: {:#?}",
            tracer_binary::artifact::identify(&std::fs::read(&path)?)
        );
    }
    Ok(())
}
