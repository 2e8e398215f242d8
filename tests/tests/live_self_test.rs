//! An agent becomes ready after it has observed its own self-test, and not earlier.
#![cfg(test)]

use std::process::Command;

use serde_json::Value;
use tests::agent::{Agent, ask};
use tests::gotrace;

const SUCCESS: &str = "gotrace_self_test_success";

#[test]
fn a_working_agent_is_ready_and_stores_no_self_test() {
    let agent = Agent::start();
    agent.wait_for_page("/-/ready", "HTTP/1.1 200");
    agent.wait_for_page("/metrics", &format!("\n{SUCCESS} 1\n"));
    let page = agent.page("/api/v1/builds");
    let listed: Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
    let builds = listed["builds"].as_array().unwrap();
    let of_itself = |it: &&Value| it["command_line"].to_string().contains("itself");
    assert_eq!(builds.iter().find(of_itself), None);
    let dir = agent.store().with_file_name("history.db-self-test");
    assert!(dir.exists(), "{}", dir.display());
    let last = agent.stop();
    assert!(last.contains("ended"), "{last}");
    assert!(!dir.exists(), "{}", dir.display());
}

/// A container without `--pid=host` has other process numbers than the kernel. Data read by such a number belongs to another
/// process.
#[test]
fn an_agent_in_another_pid_namespace_is_alive_and_not_ready() {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(gotrace());
    let mut agent = Agent::start_as(command, tempfile::tempdir().unwrap(), &[]);
    // On a busy machine the agent can first report a timeout.
    let printed = agent.wait_for_log("runs in its own PID namespace");
    assert!(printed.contains("not ready: "), "{printed}");
    assert!(printed.contains("hostPID: true"), "{printed}");
    // The storage process receives the state later.
    agent.wait_for_page("/-/ready", "runs in its own PID namespace");
    let ready = ask(agent.address(), "/-/ready");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    agent.wait_for_page("/metrics", &format!("\n{SUCCESS} 0\n"));
    assert!(agent.page("/-/healthy").ends_with("alive\n"));
}

/// The self-test executes a link beside the history.
#[test]
fn an_agent_that_cannot_execute_its_self_test_reports_this_and_continues() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("history.db-self-test"), "in the way").unwrap();
    let mut agent = Agent::start_in(dir, &[]);
    let printed = agent.wait_for_log("not ready: ");
    assert!(
        printed.contains("history.db-self-test/gotrace-itself: "),
        "{printed}"
    );
    std::fs::remove_file(agent.dir().join("history.db-self-test")).unwrap();
    agent.wait_for_log("ready: the self-test succeeds again");
    agent.wait_for_page("/-/ready", "HTTP/1.1 200");
    agent.stop();
}
