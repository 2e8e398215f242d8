//! `cargo xtask complete`: checks that a recording of a big build is complete.
//!
//! Records a cold build of the whole standard library and one program repeatedly. Compares each recording with the action graph
//! that the `go` command wrote for the same build. Counts the programs of one more such build with strace. The live test
//! `completeness` runs the same check once.
//! `completeness` runs the same check once.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program prints to the terminal"
)]
#![expect(
    clippy::panic,
    reason = "the check ends if a build cannot be recorded or counted"
)]

mod census;
mod check;
mod round;

use std::process::ExitCode;

const USAGE: &str = "usage: complete ROUNDS GO-VERSION";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let rounds = args.next().and_then(|it| it.parse::<usize>().ok());
    let (Some(rounds), Some(minor)) = (rounds, args.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if run(rounds, &minor) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns the number of complaints.
fn run(rounds: usize, minor: &str) -> usize {
    let toolchain = tests::toolchain(minor);
    println!(
        "{rounds} cold builds of the standard library and a program, Go {}",
        toolchain.version
    );
    let mut n_complaints = 0;
    let mut last = None;
    for number in 1..=rounds {
        let round = round::record(&toolchain, "std");
        let found = check::check(&round.events, &round.graph, toolchain.minor());
        println!("{number:>3}: {found}, {:.1} s", round.seconds);
        for complaint in &found.complaints {
            println!("     {complaint}");
        }
        n_complaints += found.complaints.len();
        last = Some(round);
    }
    if let Some(round) = last {
        let (counted, recorded) = (
            census::by_strace(&toolchain, "std"),
            census::of_recording(&round.events),
        );
        let differences = census::differences(&counted, &recorded);
        println!(
            "strace counts {} programs of such a build, the last recording {}",
            census::total(&counted),
            census::total(&recorded)
        );
        for difference in &differences {
            println!("     {difference}");
        }
        n_complaints += differences.len();
    }
    println!("{n_complaints} complaints");
    n_complaints
}
