//! The recording of a cold build is complete: no process, argument, exit or phase is missing. Tests an old, a middle and a new
//! toolchain once. `cargo xtask complete` repeats it many times with the whole standard library.
#![cfg(test)]

#[path = "../examples/complete/check.rs"]
mod check;
#[path = "../examples/complete/round.rs"]
mod round;

#[test]
fn nothing_is_missing_from_a_cold_build() {
    for minor in ["1.19", "1.22", "1.27"] {
        let toolchain = tests::toolchain(minor);
        let round = round::record(&toolchain, ".");
        let found = check::check(&round.events, &round.graph, toolchain.minor());
        println!("Go {}: {found}, {:.1} s", toolchain.version, round.seconds);
        assert!(
            found.n_commands > 1,
            "a cold build runs more than one command: {found}"
        );
        assert!(
            found.complaints.is_empty(),
            "{}",
            found.complaints.join("\n")
        );
    }
}
