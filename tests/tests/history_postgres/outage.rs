//! Either side is killed at random moments: no stored build is lost or duplicated.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::figures::{print_figure, size};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept};

use crate::harness::{SECOND, assert_intact, listed, moved, replayed, small_builds};
use crate::server::{Machine, Server, wait_for};

/// Checks that every build of the file arrived, complete and once.
fn assert_arrived(server: &Server, machine: &Machine) {
    assert_intact(&machine.path());
    let ids = |builds: Vec<serde_json::Value>| -> Vec<String> {
        builds
            .iter()
            .map(|it| format!("{} {}", it["id"], it["state"]))
            .collect()
    };
    let ours = ids(listed(&machine.path(), &[]));
    let theirs = ids(listed(Path::new(&server.url("admin")), &[]));
    assert_eq!(ours, theirs);
    let distinct: BTreeSet<&String> = theirs.iter().collect();
    assert_eq!(distinct.len(), theirs.len());
    let torn = "build WHERE state NOT IN ('running', 'cut_off') AND NOT EXISTS \
                (SELECT 1 FROM gotrace.detail WHERE build_id = build.id)";
    assert_eq!(server.count(torn), 0);
    let n_targets: usize = listed(&machine.path(), &[])
        .iter()
        .map(|it| it["targets"].as_array().unwrap().len())
        .sum();
    assert_eq!(server.count("target"), n_targets);
}

fn many_builds(n: usize) -> Vec<Kept> {
    endless_builds().take(n).flatten().collect()
}

/// Maximum number of undelivered builds while new ones are added.
const AHEAD: u64 = 500;

/// Yields the builds of one trace after another.
fn endless_builds() -> impl Iterator<Item = Vec<Kept>> {
    let traces = [
        "up-to-date-go1.27",
        "generate-go1.27",
        "compile-error-go1.27",
    ]
    .map(replayed);
    (1..).zip(traces.into_iter().cycle()).map(|(n, trace)| {
        history::builds(&FinishedTrace::of(moved(&trace, n * 10 * SECOND))).collect()
    })
}

#[test]
fn a_repeatedly_killed_server_gets_every_build_once() {
    let rounds = size(6, 20) as u64;
    let mut server = Server::start();
    let machine = Machine::new();
    drop(machine.store());
    let forwarder = machine.forward(server.address("admin"));
    let has_ended = AtomicBool::new(false);
    let n_stored = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut store = machine.store();
            let mut n_stored = 0;
            let has_ended = || has_ended.load(Ordering::Relaxed);
            for kept in endless_builds().flatten().take_while(|_| !has_ended()) {
                // Each round has builds left to deliver, however fast the delivery is.
                while forwarder.counts().waiting > AHEAD && !has_ended() {
                    thread::sleep(Duration::from_millis(5));
                }
                store.begin(&kept.entry).unwrap();
                store.finish(&kept).unwrap();
                n_stored += 1;
            }
            n_stored
        });
        for round in 0..rounds {
            // Kills the server during delivery, at a moment that differs from round to round.
            let before = forwarder.counts().sent;
            wait_for("something is delivered", || match forwarder.counts().sent {
                sent if sent > before => Ok(()),
                sent => Err(format!("{sent} sent before round {round}")),
            });
            thread::sleep(Duration::from_millis(round * 37));
            server.kill();
            let n_failed = forwarder.counts().failed;
            wait_for("the forwarder has seen it", || match forwarder.counts() {
                counts if counts.failed > n_failed => Ok(()),
                counts => Err(format!("{counts:?}")),
            });
            server.restart();
        }
        has_ended.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    machine.wait_until_delivered();
    let counts = forwarder.finish(Instant::now() + Duration::from_mins(1));
    assert!(counts.failed > 0 && counts.refused == 0, "{counts:?}");
    assert_eq!(server.count("build"), n_stored);
    assert_arrived(&server, &machine);
    print_figure(
        "fleet: PostgreSQL killed at any moment",
        format!("{rounds} kills"),
        format!("{n_stored} builds stored, lost 0, duplicated 0"),
    );
}

#[test]
fn builds_stored_during_an_outage_arrive_after_it() {
    let mut server = Server::start();
    let machine = Machine::new();
    let builds = small_builds(150);
    machine.finish(&builds[..5]);
    let forwarder = machine.forward(server.address("admin"));
    machine.wait_until_delivered();
    server.kill();
    machine.finish(&builds[5..]);
    wait_for("it fails", || match forwarder.counts() {
        counts if counts.failed > 0 => Ok(()),
        counts => Err(format!("{counts:?}")),
    });
    // The agent ends during the delivery, and in time.
    let began = Instant::now();
    let counts = forwarder.finish(began + Duration::from_mins(1));
    assert_eq!(counts.waiting, 145, "{counts:?}");
    server.restart();
    machine.deliver(server.address("admin"));
    assert_arrived(&server, &machine);
}

#[test]
fn a_build_is_delivered_at_its_start_when_cut_off_and_at_its_end() {
    let server = Server::start();
    let machine = Machine::new();
    let builds = small_builds(2);
    let states = || server.query("SELECT state FROM gotrace.build ORDER BY started_ns");
    for kept in &builds {
        machine.store().begin(&kept.entry).unwrap();
    }
    machine.deliver(server.address("admin"));
    assert_eq!(states(), "running\nrunning");
    // Restarts the agent.
    assert_eq!(machine.store().recover().unwrap(), 2);
    machine.deliver(server.address("admin"));
    assert_eq!(states(), "cut_off\ncut_off");
    machine.finish(&builds[..1]);
    machine.deliver(server.address("admin"));
    assert_eq!(states(), "succeeded\ncut_off");
    assert_arrived(&server, &machine);
}

/// The example `history`, built now.
fn example() -> std::path::PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "tests",
            "--example",
            "history",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    tests::target_dir().join("debug/examples/history")
}

#[test]
fn an_agent_killed_during_delivery_loses_and_duplicates_nothing() {
    let rounds = size(12, 40) as u64;
    let server = Server::start();
    let machine = Machine::new();
    machine.finish(&many_builds(size(700, 2400)));
    let program = example();
    let mut n_killed_during_delivery = 0;
    for round in 0..rounds {
        let mut forwarder = Command::new(&program)
            .arg("forward")
            .arg(machine.path())
            .arg(server.url("admin"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let before = machine.n_undelivered();
        wait_for("something is delivered", || match machine.n_undelivered() {
            n if n < before || n == 0 => Ok(()),
            n => Err(format!("{n} wait")),
        });
        thread::sleep(Duration::from_millis(round * 7919 % 83));
        forwarder.kill().unwrap();
        forwarder.wait().unwrap();
        n_killed_during_delivery += u32::from(machine.n_undelivered() > 0);
    }
    assert!(n_killed_during_delivery > 2, "{n_killed_during_delivery}");
    machine.deliver(server.address("admin"));
    assert_arrived(&server, &machine);
    print_figure(
        "fleet: delivering side killed",
        format!("{rounds} kills, {n_killed_during_delivery} during delivery"),
        "builds lost 0, duplicated 0",
    );
}
