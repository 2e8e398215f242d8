//! Full and broken disks, each mounted only in the namespace of its agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::{Module, Toolchain, gotrace, toolchain};

const PATIENCE: Duration = Duration::from_mins(2);

/// Starts an agent whose history is on its own disk. `mount` mounts the disk at `$1`.
fn agent_on(mount: &str) -> Agent {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("set -e\n{mount}\nshift\nexec \"$@\"\n");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", &script, "agent"])
        .arg(dir.path())
        .arg(gotrace())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Agent::start_as(command, dir, &[])
}

/// Path of the agent's disk, as this process sees it.
fn disk(agent: &Agent) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", agent.pid()));
    root.join(agent.dir().strip_prefix("/").unwrap())
}

fn in_mounts_of(agent: &Agent, script: &str) {
    let done = Command::new("nsenter")
        .arg(format!("--mount=/proc/{}/ns/mnt", agent.pid()))
        .args(["sh", "-ec", script, "sh"])
        .arg(agent.dir())
        .output()
        .unwrap();
    assert!(done.status.success(), "{script}: {done:?}");
}

fn build(module: &Module, toolchain: &Toolchain, output: &str) {
    module.run_go(toolchain, &["build", "-o", output, "."]);
}

/// Outputs with the results of their builds, oldest first.
fn outputs(builds: &[Value]) -> Vec<(&str, &str)> {
    builds
        .iter()
        .map(|build| {
            let line = build["command_line"].as_str().unwrap();
            let mut words = line.split(' ').skip_while(|it| *it != "-o");
            (words.nth(1).unwrap(), build["state"].as_str().unwrap())
        })
        .collect()
}

/// Fills the remaining space.
fn fill(file: &Path) {
    let zeros = [0; 4096];
    let mut file = fs::File::create(file).unwrap();
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
}

#[test]
fn a_full_disk_loses_only_builds_that_run_meanwhile() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    module.sandbox.make_warm(&toolchain);
    let mut agent = agent_on("mount -t tmpfs -o size=4m tmpfs \"$1\"");
    let rounds = size(1, 10);
    let (mut kept, mut n_said) = (Vec::new(), 0);
    for round in 0..rounds {
        let [before, full, after] = ["before", "full", "after"].map(|it| format!("{it}{round}"));
        build(&module, &toolchain, &before);
        wait_for(&agent, &module, &before);
        let filler = disk(&agent).join("filler");
        fill(&filler);
        let dropped = n_dropped(&agent);
        build(&module, &toolchain, &full);
        let printed = agent.wait_for_log("builds are not stored");
        assert!(
            printed.contains("has no space left on its disk: free some"),
            "{printed}"
        );
        // Drops the start, and the end if no other build runs.
        let since = Instant::now();
        while n_dropped(&agent) < dropped + 2 {
            assert!(since.elapsed() < PATIENCE, "{} dropped", n_dropped(&agent));
            thread::sleep(Duration::from_millis(50));
        }
        fs::remove_file(&filler).unwrap();
        build(&module, &toolchain, &after);
        let printed = agent.log_until("builds are stored again");
        n_said += printed
            .iter()
            .filter(|it| it.contains("not stored"))
            .count();
        wait_for(&agent, &module, &after);
        kept.extend([before, after]);
    }
    // The dropped records can belong to other builds, so the end of one of these can be stored.
    let mut found = agent.builds_in(&module);
    found.retain(|it| !it["command_line"].as_str().unwrap().contains("-o full"));
    let all: Vec<(&str, &str)> = kept.iter().map(|it| (it.as_str(), "succeeded")).collect();
    assert_eq!(outputs(&found), all);
    assert_eq!(
        n_said, 0,
        "the failure is logged once, not with every build"
    );
    print_figure(
        "history on a disk that fills up",
        format!("{rounds} times, {} builds", 3 * rounds),
        format!(
            "stored {}, lost of them 0, duplicated 0; builds meanwhile counted, each failure logged once",
            found.len()
        ),
    );
    agent.stop();
}

/// Number of records that the history refused.
fn n_dropped(agent: &Agent) -> u64 {
    let page = agent.page("/metrics");
    let begin = "gotrace_queue_dropped_total{queue=\"history\"} ";
    let value = page.lines().find_map(|it| it.strip_prefix(begin));
    value.map_or_else(|| panic!("{page}"), |it| it.parse().unwrap())
}

/// Waits until the build of this output is stored and ended.
fn wait_for(agent: &Agent, module: &Module, output: &str) {
    let since = Instant::now();
    loop {
        let builds = agent.builds_in(module);
        if outputs(&builds).contains(&(output, "succeeded")) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{output}: {builds:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_disk_that_becomes_read_only_loses_only_later_builds() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    module.sandbox.make_warm(&toolchain);
    let image = TempDir::new().unwrap();
    let file = image.path().join("disk");
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-e", "remount-ro"])
        .arg(&file)
        .arg("16m")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut agent = agent_on(&format!("mount -o loop {} \"$1\"", file.display()));
    build(&module, &toolchain, "before");
    agent.wait_for(&module, 1);
    // The kernel does this when it detects a broken file system.
    in_mounts_of(
        &agent,
        "dev=$(basename $(findmnt -no SOURCE \"$1\")); echo broken > /sys/fs/ext4/$dev/trigger_fs_error",
    );
    build(&module, &toolchain, "broken");
    let printed = agent.wait_for_log("builds are not stored");
    assert!(
        printed.contains("cannot be opened or written: check that its disk"),
        "{printed}"
    );
    build(&module, &toolchain, "more");
    assert_eq!(
        outputs(&agent.builds_in(&module)),
        [("before", "succeeded")]
    );
    // Builds that are not stored are counted nevertheless.
    agent.wait_for_page("/metrics", "go_build_builds_total{");
    print_figure(
        "history on a disk that becomes read-only",
        "1 time, 3 builds",
        "stored before 1, lost of them 0; logged once, pages and metrics continue",
    );
    agent.signal("KILL");
}
