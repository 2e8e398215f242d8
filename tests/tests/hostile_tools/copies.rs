//! Programs that are replaced by rename, deleted or changed in mode, and two copies of one toolchain.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::{Toolchain, toolchain};

use crate::verdict::Verdict;
use crate::{Builds, CopiedToolchain};

/// Changes a program as an installer does.
type Change = fn(&CopiedToolchain, &Toolchain);

const CHANGES: [(&str, Change); 3] = [
    ("replaced by rename", |copied, version| {
        for (from, to) in copied.programs(version) {
            let new = to.with_extension("new");
            fs::copy(from, &new).unwrap();
            fs::rename(new, to).unwrap();
        }
    }),
    ("deleted and recreated", |copied, version| {
        for (from, to) in copied.programs(version) {
            fs::remove_file(&to).unwrap();
            fs::copy(from, to).unwrap();
        }
    }),
    ("changed in mode", |copied, version| {
        for (_, to) in copied.programs(version) {
            for mode in [0o700, 0o755] {
                fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }),
];

#[test]
fn a_replaced_toolchain_is_probed_again() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let version = toolchain("1.25");
    let mut builds = Builds::new(&[&version]);
    let goroot = builds.module.sandbox.path().join("goroot");
    let copied = CopiedToolchain::new(&version, goroot);
    let own = copied.toolchain(&version);
    let rounds = size(2, 8);
    for _ in 0..rounds {
        for (_, change) in CHANGES {
            change(&copied, &version);
            builds.next(&own);
            builds.next(&own);
        }
    }
    let seen = builds.seen_by(&agent);
    let minor = version.minor();
    for (i, (name, _)) in CHANGES.iter().enumerate() {
        let of_it = |nth: usize| seen.iter().skip(2 * i + nth).step_by(2 * CHANGES.len());
        let first = Verdict::of(of_it(0).map(|it| (it, minor)));
        let second = Verdict::of(of_it(1).map(|it| (it, minor)));
        print_figure(
            &format!("toolchain {name}"),
            format!("{rounds} times, {} builds", 2 * rounds),
            format!(
                "0 tools crashed; calls exact {}, reported without phases {}, wrong {}",
                first.exact + second.exact,
                first.reported + second.reported,
                first.wrong.len() + second.wrong.len()
            ),
        );
        first.assert_correct();
        second.assert_correct();
    }
    agent.stop();
}

#[test]
fn two_copies_of_one_toolchain_are_probed_separately_and_report_nothing_twice() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let version = toolchain("1.24");
    let rounds = size(3, 10);
    let copies = ["one", "other"].map(|name| {
        let builds = Builds::new(&[&version]);
        let goroot = builds.module.sandbox.path().join(name);
        let own = CopiedToolchain::new(&version, goroot).toolchain(&version);
        (builds, own)
    });
    let mut built: Vec<Builds> = thread::scope(|scope| {
        let threads = copies.map(|(mut builds, own)| {
            scope.spawn(move || {
                for _ in 0..rounds {
                    builds.next(&own);
                }
                builds
            })
        });
        threads.map(|it| it.join().unwrap()).into()
    });
    let mut all = Verdict::default();
    for builds in built.drain(..) {
        let seen = builds.seen_by(&agent);
        for build in &seen {
            all.add(build, version.minor());
        }
    }
    print_figure(
        "two copies of one toolchain at once",
        format!("{} builds", 2 * rounds),
        format!(
            "calls exact {}, reported without phases {}, wrong {}",
            all.exact,
            all.reported,
            all.wrong.len()
        ),
    );
    all.assert_correct();
    agent.stop();
}
