//! Several machines and one database.

use std::path::Path;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept};
use tracer_user::history::central::{self, CentralSettings};

use crate::harness::{SECOND, gotrace_show, listed, moved, replayed, small_builds};
use crate::server::{Machine, Server, wait_for};

const DAY: i64 = 86_400 * SECOND;

#[test]
fn agents_can_start_and_write_at_the_same_time() {
    const MACHINES: i64 = 4;
    let server = Server::start();
    let trace = replayed("generate-go1.27");
    // The tables do not exist yet.
    thread::scope(|scope| {
        for n in 0..MACHINES {
            let (server, trace) = (&server, &trace);
            scope.spawn(move || {
                let machine = Machine::new();
                let forwarder = machine.forward(server.address("admin"));
                for round in 0..20 {
                    // All agents observe every other build.
                    let at = if round % 2 == 0 {
                        round
                    } else {
                        round * MACHINES + n + 100
                    };
                    let trace = moved(trace, (at + 1) * 100 * SECOND);
                    let builds: Vec<Kept> =
                        history::builds(&FinishedTrace::of(trace.clone())).collect();
                    for kept in &builds {
                        machine.store().begin(&kept.entry).unwrap();
                    }
                    machine.finish(&builds);
                }
                machine.wait_until_delivered();
                let counts = forwarder.finish(Instant::now() + std::time::Duration::from_mins(1));
                assert_eq!((counts.failed, counts.refused), (0, 0), "{counts:?}");
            });
        }
    });
    let n_each = trace.builds.len();
    let n_rounds = 10 + 10 * usize::try_from(MACHINES).unwrap();
    assert_eq!(server.count("build"), n_each * n_rounds);
    assert_eq!(server.count("detail"), n_each * n_rounds);
}

#[test]
fn an_output_is_compared_with_the_last_one_of_any_machine() {
    let server = Server::start();
    let trace = replayed("build-go1.27");
    let (first, second) = (Machine::new(), Machine::new());
    let ids: Vec<String> = [(&first, 1000), (&second, 2000)]
        .map(|(machine, at)| {
            let builds: Vec<Kept> =
                history::builds(&FinishedTrace::of(moved(&trace, at * SECOND))).collect();
            machine.finish(&builds);
            machine.deliver(server.address("admin"));
            builds[0].entry.id.to_string()
        })
        .to_vec();
    let shown = |at: &Path| -> Value {
        let output = gotrace_show(at, &["--format", "json", &ids[1]]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let at = server.url("admin");
    assert_eq!(
        shown(Path::new(&at))["previous"][0]["build"],
        ids[0].as_str()
    );
    assert_eq!(shown(&second.path())["previous"][0], Value::Null);
}

#[test]
fn one_agent_at_a_time_deletes_old_builds() {
    let server = Server::start();
    central::prepare(&server.address("admin")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_nanos()).unwrap();
    let trace = replayed("up-to-date-go1.27");
    let builds: Vec<Kept> = (0..20)
        .flat_map(|n| {
            history::builds(&FinishedTrace::of(moved(&trace, now - n * DAY))).collect::<Vec<_>>()
        })
        .collect();
    let machine = Machine::new();
    machine.finish(&builds);
    machine.deliver(server.address("admin"));
    assert_eq!(server.count("build"), 20);
    let settings = CentralSettings {
        keep_days: Some(7),
        ..CentralSettings::default()
    };
    let others = Machine::new();
    others.finish(
        &history::builds(&FinishedTrace::of(moved(&trace, now + SECOND))).collect::<Vec<_>>(),
    );
    let forwarder = others.forward_with(
        server.address("admin"),
        settings,
        tracer_core::history::Limits::default(),
    );
    wait_for("the old builds are deleted", || {
        match server.count("build") {
            8 => Ok(()),
            n => Err(format!("{n} builds")),
        }
    });
    drop(forwarder);
    assert_eq!(server.count("detail"), 8);
    // This machine deletes its own builds by its own limits.
    assert_eq!(listed(&machine.path(), &[]).len(), 20);
}

#[test]
fn a_build_that_the_database_refuses_does_not_delay_others() {
    let server = Server::start();
    let machine = Machine::new();
    let mut builds = small_builds(5);
    // PostgreSQL's text type cannot contain a zero byte, and its indexes cannot contain a name this long.
    builds[1].entry.project = Some("a\0b".to_owned());
    let noise = (0..40_000u32)
        .map(|n| char::from_u32(0x4e00 + n.wrapping_mul(2_654_435_761) % 20_000).unwrap());
    builds[2].entry.project = Some(noise.collect());
    machine.finish(&builds);
    let counts = machine.deliver(server.address("admin"));
    assert_eq!((counts.sent, counts.refused), (4, 1), "{counts:?}");
    assert_eq!(server.count("build"), 4);
    assert_eq!(server.count("build WHERE project = E'a\u{fffd}b'"), 1);
}
