//! More records than the ring can hold. The test stops an agent, as a debugger or lack of memory does, while builds start thousands
//! of processes.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::{Module, Toolchain, toolchain};

use crate::{is_marked, module, sum};

/// Starts processes whose records fill any ring, mostly while the agent is stopped. The agent continues before the storm ends, so
/// that it observes the end.
const STORM: &str = r#"
word=$(head -c 60000 /dev/zero | tr '\0' x)
storm() { i=0; while [ $i -lt "$1" ]; do /bin/true "$word"; i=$((i+1)); done; }
kill -STOP "$AGENT"
storm 600
kill -CONT "$AGENT"
storm 60
"#;

fn go(module: &Module, toolchain: &Toolchain, args: &[&str]) {
    let mut go = module.go(toolchain, args);
    let output = go.stdout(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn records_lost_to_a_full_ring_are_counted_and_the_build_reports_a_gap() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let toolchain = toolchain("1.27");
    let module = module(&toolchain);
    module.write("storm.sh", STORM);
    module.write(
        "main.go",
        "package main\n\n//go:generate sh storm.sh\n\nfunc main() {}\n",
    );
    let rounds = size(2, 15);
    let mut of_builds = 0;
    for round in 1..=rounds {
        let mut generate = module.go(&toolchain, &["generate", "."]);
        generate.env("AGENT", agent.pid().to_string());
        assert!(generate.status().unwrap().success());
        let builds = agent.wait_for(&module, round);
        let [.., build] = &builds[..] else {
            unreachable!()
        };
        let lost = build["lost"].as_u64().unwrap();
        assert!(lost > 0 && is_marked(build), "{build:#}");
        of_builds += lost;
    }
    let lost = sum(&agent.page("/metrics"), "gotrace_events_lost_total{");
    print_figure(
        "agent stopped until its ring overflows",
        format!("{rounds} builds of 660 processes each"),
        format!(
            "{lost} records lost and counted; {rounds} builds in the history, each reports the gap"
        ),
    );
    assert!(of_builds <= lost, "{of_builds} of {lost} lost");
    agent.stop();
}

#[test]
fn all_builds_during_a_storm_of_processes_are_stored() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let toolchain = toolchain("1.27");
    let module = module(&toolchain);
    go(&module, &toolchain, &["build", "-o", "first", "."]);
    agent.wait_for(&module, 1);
    let builds = size(6, 40);
    let has_ended = AtomicBool::new(false);
    let processes = thread::scope(|scope| {
        let storms: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut n: u64 = 0;
                    while !has_ended.load(Ordering::Relaxed) {
                        let ran = Command::new("/bin/true").stdin(Stdio::null()).status();
                        assert!(ran.unwrap().success());
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        for n in 0..builds {
            let change = format!("package main\n\nfunc main() {{ println({n}) }}\n");
            module.write("main.go", &change);
            go(&module, &toolchain, &["build", "-o", "out", "."]);
        }
        has_ended.store(true, Ordering::Relaxed);
        storms.into_iter().map(|it| it.join().unwrap()).sum::<u64>()
    });
    let found = agent.wait_for(&module, builds + 1);
    let lost = sum(&agent.page("/metrics"), "gotrace_events_lost_total{");
    let marked = found.iter().filter(|it| is_marked(it)).count();
    print_figure(
        "builds during a storm of other processes",
        format!("{builds} builds, {processes} processes"),
        format!(
            "{} in the history, {marked} with reported gaps; {lost} records lost",
            found.len() - 1
        ),
    );
    assert_eq!(found.len(), builds + 1);
    // A gap without a counted loss would be an error.
    let first = usize::from(is_marked(&found[0]));
    assert!(marked == first || lost > 0, "{found:#?}");
    let made = fs::metadata(module.dir().join("out")).unwrap().len();
    assert_eq!(found[builds]["targets"][0]["size"], made);
    agent.stop();
}
