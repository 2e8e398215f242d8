//! The content of groups, and their deletion.

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_core::event::Status;
use tracer_core::finished::FinishedTrace;

use crate::gateway::Gateway;
use crate::harness::{DAY, Push, built, promtool, recorded, request, target};

fn silent(_: &str) {}

#[test]
fn a_target_is_a_group_that_names_no_machine() {
    let gateway = Gateway::start();
    let push = Push::to(&gateway.url(), DAY, silent);
    let trace = built(10);
    push.output.ended(&FinishedTrace::of(trace.clone()));
    let target = target();
    assert!(target.contains('/'), "{target}");
    let group = gateway.wait_for(&target, |_| true);
    let labels = [("job", "gotrace"), ("target", &target)];
    let labels: BTreeMap<String, String> = labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(group.labels, labels);
    let artifact = trace.builds[0].outputs[0].artifact.as_ref().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a size is far below 2^53")]
    let size = artifact.size as f64;
    assert_eq!(group.families["go_build_binary_size_bytes"], [size]);
    assert_eq!(group.families["go_build_last_success"], [1.0]);
    assert_eq!(group.families["go_build_info"], [1.0]);
    let built = group.families["go_build_timestamp_seconds"][0];
    let pushed = group.families["push_time_seconds"][0];
    assert!(built < pushed && pushed - built < 3600.0, "{group:?}");
    let duration = group.families["go_build_last_duration_seconds"][0];
    assert!(duration > 0.0 && duration < 3600.0, "{group:?}");

    let page = gateway.0.get("/metrics");
    let ours: Vec<&str> = page.lines().filter(|it| it.contains("go_build_")).collect();
    let ours = ours.join("\n") + "\n";
    promtool(&ours);
    assert!(ours.contains(&format!("target=\"{target}\"")), "{ours}");
    let is_of_machine = |it: &str| it.contains("instance=\"") && !it.contains("instance=\"\"");
    assert!(!ours.lines().any(is_of_machine), "{ours}");
    let (counts, _) = push.finish();
    assert_eq!((counts.sent, counts.failed, counts.waiting), (1, 0, 0));
}

#[test]
fn names_with_special_characters_are_valid_groups() {
    let gateway = Gateway::start();
    let push = Push::to(&gateway.url(), DAY, silent);
    let long = "x/".repeat(300);
    for name in ["plain", "a b", "..", "größe/%2f?#", "\"\\\n", &long] {
        let mut trace = built(1);
        for build in &mut trace.builds {
            for output in &mut build.outputs {
                output.package = Some(name.into());
            }
        }
        push.output.ended(&FinishedTrace::of(trace.clone()));
    }
    for target in ["plain", "a b", "..", "größe/%2f?#", "\"\\\\u{a}"] {
        gateway.wait_for(target, |it| it.labels.len() == 2);
    }
    let (counts, _) = push.finish();
    assert_eq!((counts.sent, counts.failed), (6, 0));
    let page = gateway.0.get("/metrics");
    assert!(page.lines().all(|it| it.len() < 1500));
    assert_eq!(gateway.groups().len(), 6);
}

#[test]
fn a_failed_build_is_reported_for_its_expected_target() {
    let gateway = Gateway::start();
    let push = Push::to(&gateway.url(), DAY, silent);
    let good = built(20);
    let mut bad = built(10);
    for build in &mut bad.builds {
        build.outputs.clear();
        build.status = Some(Status::Code(1));
    }
    push.output.ended(&FinishedTrace::of(good.clone()));
    push.output.ended(&FinishedTrace::of(bad.clone()));
    let group = gateway.wait_for(&target(), |it| {
        it.families["go_build_last_success"] == [0.0]
    });
    let built = group.families["go_build_timestamp_seconds"][0];
    let last = group.families["go_build_last_timestamp_seconds"][0];
    assert!(last > built, "{group:?}");
}

#[test]
fn test_runs_make_no_group() {
    let gateway = Gateway::start();
    let push = Push::to(&gateway.url(), DAY, silent);
    push.output
        .ended(&FinishedTrace::of(recorded("test-go1.27")));
    let (counts, _) = push.finish();
    assert_eq!((counts.sent, counts.waiting), (0, 0));
    assert_eq!(gateway.groups(), []);
}

#[test]
fn a_group_is_deleted_when_its_target_is_no_longer_built() {
    let gateway = Gateway::start();
    let push = Push::to(&gateway.url(), Duration::from_secs(3), silent);
    push.output.ended(&FinishedTrace::of(built(0)));
    push.wait_for("a push", |it| it.sent >= 1);
    gateway.wait_to_be_empty();
    assert_eq!(push.files(), Vec::<String>::new());
}

#[test]
fn an_old_group_is_deleted_after_a_restart_unless_another_machine_has_pushed_it() {
    let gateway = Gateway::start();
    let target = target();
    let mut dirs = Vec::new();
    for _ in 0..2 {
        let push = Push::to(&gateway.url(), DAY, silent);
        push.output.ended(&FinishedTrace::of(built(100)));
        push.wait_for("a push", |it| it.sent == 1);
        dirs.push(push.finish().1);
    }
    // Simulates the other machine, which builds the target once more.
    let (mine, theirs) = (dirs.remove(0), dirs.remove(0));
    let other = Push::restart(theirs, &gateway.url(), DAY, silent);
    other.output.ended(&FinishedTrace::of(built(1)));
    other.wait_for("a push", |it| it.sent == 1);
    let before = gateway.wait_for(&target, |_| true);
    let (_, theirs) = other.finish();

    let minute = Duration::from_mins(1);
    let push = Push::restart(mine, &gateway.url(), minute, silent);
    crate::harness::wait_for("the agent no longer stores the group", || {
        let files = push.files();
        files.is_empty().then_some(()).ok_or(format!("{files:?}"))
    });
    assert_eq!(gateway.groups(), [before]);
    push.finish();

    let last = Push::restart(theirs, &gateway.url(), Duration::from_millis(1), silent);
    gateway.wait_to_be_empty();
    last.finish();
}

#[test]
fn groups_of_other_clients_stay() {
    let gateway = Gateway::start();
    let put = "PUT /metrics/job/backup HTTP/1.0\r\ncontent-length: 4\r\n\r\na 1\n";
    request(gateway.0.address, put);
    let push = Push::to(&gateway.url(), Duration::from_millis(1), silent);
    push.output.ended(&FinishedTrace::of(built(5)));
    push.finish();
    assert_eq!(gateway.groups().len(), 1);
}
