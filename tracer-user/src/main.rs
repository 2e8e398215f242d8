//! The program `gotrace`. Only this function ends the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tracer_user::cli::run(std::env::args_os()))
}
