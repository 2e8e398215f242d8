//! The program `gotrace`. Only `main` ends the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    tracer_user::crash::keep_secrets();
    ExitCode::from(tracer_user::cli::run(std::env::args_os()))
}
