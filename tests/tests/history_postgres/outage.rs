//! Either side is killed at any moment: nothing that was stored is lost, and nothing is there twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::figures::{size, tell};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept};

use crate::harness::{SECOND, assert_whole, listed, moved, replayed, small_builds};
use crate::server::{Machine, Server, wait_for};

/// Every build of the file is there, whole, and once.
fn assert_arrived(server: &Server, machine: &Machine) {
    assert_whole(&machine.path());
    let ids = |builds: Vec<serde_json::Value>| -> Vec<String> {
        builds
            .iter()
            .map(|it| format!("{} {}", it["id"], it["state"]))
            .collect()
    };
    let ours = ids(listed(&machine.path(), &[]));
    let theirs = ids(listed(Path::new(&server.at("admin")), &[]));
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

/// Builds that wait to be delivered, where there is always one.
const AHEAD: u64 = 500;

/// Trace by trace.
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
fn a_server_that_is_killed_again_and_again_gets_every_build_once() {
    let rounds = size(6, 20) as u64;
    let mut server = Server::start();
    let machine = Machine::new();
    drop(machine.store());
    let forwarder = machine.forward(server.address("admin"));
    let is_over = AtomicBool::new(false);
    let n_stored = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut store = machine.store();
            let mut n_stored = 0;
            let is_over = || is_over.load(Ordering::Relaxed);
            for kept in endless_builds().flatten().take_while(|_| !is_over()) {
                // Something is left to deliver in each round, however fast that goes.
                while forwarder.counts().waiting > AHEAD && !is_over() {
                    thread::sleep(Duration::from_millis(5));
                }
                store.begin(&kept.entry).unwrap();
                store.finish(&kept).unwrap();
                n_stored += 1;
            }
            n_stored
        });
        for round in 0..rounds {
            // At work, at a moment that differs from round to round.
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
            server.go_on();
        }
        is_over.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    machine.wait_until_delivered();
    let counts = forwarder.finish(Instant::now() + Duration::from_mins(1));
    assert!(counts.failed > 0 && counts.refused == 0, "{counts:?}");
    assert_eq!(server.count("build"), n_stored);
    assert_arrived(&server, &machine);
    tell(
        "fleet: PostgreSQL killed at any moment",
        format!("{rounds} kills"),
        format!("{n_stored} builds stored, lost 0, doubled 0"),
    );
}

#[test]
fn what_is_stored_while_there_is_no_server_arrives_when_there_is_one() {
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
    // The agent ends in the middle of it, and in time.
    let began = Instant::now();
    let counts = forwarder.finish(began + Duration::from_mins(1));
    assert_eq!(counts.waiting, 145, "{counts:?}");
    server.go_on();
    machine.deliver(server.address("admin"));
    assert_arrived(&server, &machine);
}

#[test]
fn a_build_is_told_when_it_begins_when_it_is_cut_off_and_when_it_ends_after_all() {
    let server = Server::start();
    let machine = Machine::new();
    let builds = small_builds(2);
    let states = || server.ask("SELECT state FROM gotrace.build ORDER BY started_ns");
    for kept in &builds {
        machine.store().begin(&kept.entry).unwrap();
    }
    machine.deliver(server.address("admin"));
    assert_eq!(states(), "running\nrunning");
    // The agent is started again.
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
fn an_agent_that_is_killed_while_it_delivers_loses_and_doubles_nothing() {
    let rounds = size(12, 40) as u64;
    let server = Server::start();
    let machine = Machine::new();
    machine.finish(&many_builds(size(700, 2400)));
    let program = example();
    let mut n_killed_at_work = 0;
    for round in 0..rounds {
        let mut forwarder = Command::new(&program)
            .arg("forward")
            .arg(machine.path())
            .arg(server.at("admin"))
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
        n_killed_at_work += u32::from(machine.n_undelivered() > 0);
    }
    assert!(n_killed_at_work > 2, "{n_killed_at_work}");
    machine.deliver(server.address("admin"));
    assert_arrived(&server, &machine);
    tell(
        "fleet: the agent's side killed while it delivers",
        format!("{rounds} kills, {n_killed_at_work} at work"),
        "builds lost 0, doubled 0",
    );
}
