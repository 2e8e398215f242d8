//! The script that GitHub's runner executes after a job. It adds the job's builds to the summary page, and never fails a job.

use std::fs;

use tests::machine::Machine;

use super::harness::{DOWNLOADED, found, machine};

const RUNNER: &str = "/home/builder/actions-runner";
const SCRIPT: &str = "/usr/local/lib/gotrace/job-completed.sh";
/// Environment variables of a job.
const JOB: &str = "CI=true GITHUB_ACTIONS=true GITHUB_REPOSITORY=acme/app GITHUB_REF=refs/heads/main \
                   GITHUB_RUN_ID=17123456789 GITHUB_RUN_ATTEMPT=2 GITHUB_JOB=test RUNNER_NAME=one";

/// Runs the script as a runner does: a user's shell with `-e`. Returns the exit code (none if killed) and the output.
fn complete(machine: &Machine, page: &str) -> (Option<i32>, String) {
    let file = machine.path(&format!("{RUNNER}/.env"));
    let env = fs::read_to_string(file).unwrap();
    let hook = env
        .lines()
        .find_map(|it| it.strip_prefix("ACTIONS_RUNNER_HOOK_JOB_COMPLETED="));
    let run = format!(
        "cd && env {JOB} GITHUB_STEP_SUMMARY={page} timeout 60 bash -e {}",
        hook.unwrap_or("no-hook")
    );
    let output = machine.run(["runuser", "-u", "builder", "--", "sh", "-c", &run]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), printed)
}

fn build(machine: &Machine, name: &str, job: &str, output: &str) {
    let go = tests::toolchain("1.19").go.display().to_string();
    let script = format!(
        "mkdir ~/{name} && cd ~/{name} && {go} mod init example.com/{name} 2>/dev/null && \
         echo 'package main; func main() {{ println(1) }}' > main.go && env {job} {go} build -o {output} ."
    );
    machine.succeed(["runuser", "-u", "builder", "--", "sh", "-c", &script]);
    found(machine, "gotrace", name);
}

#[test]
fn a_job_page_lists_its_builds_and_a_missing_agent_fails_no_job() {
    let machine = machine();
    let make = format!("mkdir {RUNNER} && cd {RUNNER} && touch run.sh && echo LANG=C.UTF-8 > .env");
    machine.succeed(["runuser", "-u", "builder", "--", "sh", "-c", &make]);
    let unit = format!("[Service]\nWorkingDirectory={RUNNER}\n");
    machine.write(
        "/etc/systemd/system/actions.runner.acme-app.one.service",
        unit,
    );
    let (_, printed) = machine.succeed([DOWNLOADED, "install", "--runner-hooks"]);
    assert!(
        printed.contains(&format!("configured the runner in {RUNNER}")),
        "{printed}"
    );
    let (owner, _) = machine.succeed(["stat", "--format=%U", &format!("{RUNNER}/.env")]);
    assert_eq!(owner.trim(), "builder");

    build(&machine, "mine", JOB, "'a|<b>[x](y)`'");
    build(
        &machine,
        "other",
        &JOB.replace("GITHUB_JOB=test", "GITHUB_JOB=lint"),
        "other",
    );
    let page = "/home/builder/page.md";
    assert_eq!(complete(&machine, page), (Some(0), String::new()));
    let text = fs::read_to_string(machine.path(page)).unwrap();
    assert!(text.starts_with("### Go builds\n\n1 build in "), "{text}");
    // Every row has as many cells as the head, whatever the names contain.
    let rows: Vec<&str> = text.lines().filter(|it| it.starts_with('|')).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows.iter().all(|it| it.matches('|').count() == 9), "{text}");
    assert!(
        rows[2].contains("1&#46;19&#46;8") && !rows[2].contains("<b>"),
        "{text}"
    );

    machine.succeed(["systemctl", "stop", "gotrace"]);
    let (status, printed) = complete(&machine, "/home/builder/gone.md");
    assert_eq!(status, Some(0), "{printed}");
    assert!(
        printed.contains("cannot read the pages of the agent"),
        "{printed}"
    );
    // A server that never answers: a socket whose connections are never accepted.
    machine.write(
        "/run/systemd/system/hole.socket",
        "[Socket]\nListenStream=127.0.0.1:10127\n",
    );
    machine.write(
        "/run/systemd/system/hole.service",
        "[Service]\nExecStart=sleep infinity\n",
    );
    machine.succeed(["systemctl", "start", "hole.socket"]);
    let (status, printed) = complete(&machine, "/home/builder/silent.md");
    assert_eq!(status, Some(0), "{printed}");
    assert!(
        fs::read(machine.path("/home/builder/silent.md"))
            .unwrap()
            .is_empty()
    );
    // The summary page is not set, or cannot be written.
    assert_eq!(complete(&machine, "").0, Some(0));
    assert_eq!(complete(&machine, "/proc/none").0, Some(0));

    machine.succeed(["gotrace", "uninstall"]);
    let env = fs::read_to_string(machine.path(&format!("{RUNNER}/.env"))).unwrap();
    assert_eq!(env, "LANG=C.UTF-8\n");
    assert!(!machine.has(SCRIPT));
}
