//! Programs that are overwritten in place and executed immediately.

use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::toolchain;

use crate::verdict::Verdict;
use crate::{Builds, CopiedToolchain};

#[test]
fn tools_of_a_toolchain_upgraded_in_place_repeatedly_never_crash() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let versions = [toolchain("1.26"), toolchain("1.27")];
    let mut builds = Builds::new(&[&versions[0], &versions[1]]);
    let goroot = builds.module.sandbox.path().join("goroot");
    let copied = CopiedToolchain::new(&versions[0], goroot);
    let rounds = size(4, 50);
    let mut minors = Vec::new();
    for round in 0..rounds {
        let version = &versions[round % 2];
        copied.become_in_place(version);
        // The first build begins immediately after the last byte is written.
        for _ in 0..2 {
            builds.next(&copied.toolchain(version));
            minors.push(version.minor());
        }
    }
    let seen = builds.seen_by(&agent);
    let all = Verdict::of(seen.iter().zip(minors));
    print_figure(
        "toolchain overwritten in place",
        format!("{rounds} upgrades, {} builds", builds.n),
        format!(
            "0 tools crashed; calls exact {}, reported without phases {}, wrong {}",
            all.exact,
            all.reported,
            all.wrong.len()
        ),
    );
    all.assert_correct();
    agent.stop();
}
