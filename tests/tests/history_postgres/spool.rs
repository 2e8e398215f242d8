//! While the database is unreachable, the file is the spool. Its size is bounded; deletions have an order and are counted.

use std::fs;
use std::time::{Duration, Instant};

use tracer_core::history::Limits;
use tracer_user::history::central::CentralSettings;

use crate::harness::{listed, small_builds};
use crate::server::{Machine, Server, wait_for};

#[test]
fn the_spool_drops_oldest_details_first_then_oldest_builds_and_counts_them() {
    let mut server = Server::start();
    let machine = Machine::new();
    let builds = small_builds(400);
    // Some builds are delivered before the outage.
    machine.finish(&builds[..50]);
    machine.deliver(server.address("admin"));
    server.kill();
    machine.finish(&builds[50..]);
    let full = fs::metadata(machine.path()).unwrap().len();
    let bounded = |max_bytes: u64| {
        let limits = Limits {
            max_age_ns: None,
            max_bytes: Some(max_bytes),
        };
        let forwarder =
            machine.forward_with(server.address("admin"), CentralSettings::default(), limits);
        wait_for("the spool is within its limit", || {
            let bytes = fs::metadata(machine.path()).unwrap().len();
            let has_failed = forwarder.counts().failed > 0;
            if bytes <= max_bytes && has_failed {
                Ok(())
            } else {
                Err(format!("{bytes} of {max_bytes}"))
            }
        });
        forwarder
            .finish(Instant::now() + Duration::from_mins(1))
            .discarded
    };
    // Delivered details are deleted first.
    let first = bounded(full - full / 20);
    assert_eq!((first.details, first.builds), (0, 0), "{first:?}");
    assert!(listed(&machine.path(), &[]).len() < 400);
    assert_eq!(machine.n_undelivered(), 350);
    // Next come the details of the oldest builds.
    let second = bounded(full / 2);
    assert!(second.details > 10 && second.builds == 0, "{second:?}");
    assert_eq!(machine.n_undelivered(), 350);
    // Next come builds.
    let third = bounded(full / 10);
    assert!(third.builds > 10, "{third:?}");
    let n_left = machine.n_undelivered();
    assert_eq!(u64::try_from(n_left).unwrap() + third.builds, 350);

    server.restart();
    machine.deliver(server.address("admin"));
    assert_eq!(server.count("build"), 50 + n_left);
    let n_details = 50 + 350 - usize::try_from(second.details + third.details).unwrap();
    assert_eq!(server.count("detail"), n_details);
    // The newest builds are complete.
    let oldest_whole = server.query("SELECT min(started_ns) FROM gotrace.build WHERE started_ns > 50e9 AND id IN (SELECT build_id FROM gotrace.detail)");
    if !oldest_whole.is_empty() {
        let torn = format!(
            "build WHERE started_ns > {oldest_whole} AND id NOT IN (SELECT build_id FROM gotrace.detail)"
        );
        assert_eq!(server.count(&torn), 0);
    }
}
