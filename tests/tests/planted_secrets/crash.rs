//! Signals crash both processes of a running agent. The remaining files and messages contain no secret, and no core file exists.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tests::agent::{Agent, signal};
use tests::bpffs::Bpffs;
use tests::figures::print_figure;
use tests::{gotrace_command, toolchain};

use crate::Planted;
use crate::builds::{Build, builds, go, module};

/// Signals that end a process with a core file.
const SIGNALS: [&str; 2] = ["ABRT", "ILL"];
/// Builds that run while the agent crashes. The next agent finds them, unless the kernel's buffer fills up before it starts.
const UNTRACED: usize = 3;
/// Only every fourth build with planted secrets runs here, to save time. The tests without a crash run all of them.
const STEP: usize = 4;

/// Runs the same command in `dir`, without a limit to the size of core files.
fn with_core_files(command: &Command, dir: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(dir);
    shell
}

/// Fails if this system writes no core files, because the test would then prove nothing.
fn assert_core_files_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -ABRT $$"]);
    let status = with_core_files(&shell, dir.path()).status().unwrap();
    assert!(status.core_dumped(), "{status}");
}

fn assert_no_core_file(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().starts_with("core"), "{name:?}");
    }
}

#[test]
fn a_crash_leaves_no_secret_behind() {
    assert_core_files_are_written();
    let planted = Planted::default();
    let toolchain = toolchain("1.27");
    let module = module(&planted, &toolchain);
    let all: Vec<Build> = builds(&planted).into_iter().step_by(STEP).collect();
    let bpffs = Bpffs::new();
    let place = bpffs.pin_dir();
    let args = ["--detail", "cache-key", "--pin", place.to_str().unwrap()];
    let mut dir = tempfile::tempdir().unwrap();
    let start = |dir: tempfile::TempDir| {
        let gotrace = with_core_files(&gotrace_command([("", ""); 0]), dir.path());
        Agent::start_as(gotrace, dir, &args)
    };
    let build = |build: &Build| {
        let output = go(&module, &toolchain, build).output().unwrap();
        assert!(output.status.success(), "{:?}: {output:?}", build.args);
    };
    let (halves, mut n_followed) = (all.split_at(all.len() / 2), 0);
    let mut n_left = 0;
    for (signal_name, half) in SIGNALS.into_iter().zip([halves.0, halves.1]) {
        let mut agent = start(dir);
        let (first, rest) = half.split_at(half.len() - UNTRACED);
        first.iter().for_each(build);
        n_followed += first.len();
        agent.wait_for(&module, n_followed);
        signal(agent.storage_process().unwrap(), signal_name);
        let lines = agent.log_until("the storage process was restarted");
        planted.assert_absent(lines.join("").as_bytes(), "the agent's log");
        // The observer crashes while the remaining builds run.
        let (status, printed);
        (dir, status, printed) = thread::scope(|scope| {
            let building = scope.spawn(|| rest.iter().for_each(build));
            thread::sleep(Duration::from_millis(300));
            let ended = agent.crash(signal_name);
            building.join().unwrap();
            ended
        });
        assert!(status.signal().is_some(), "{status}");
        assert!(!status.core_dumped(), "{status}");
        assert_no_core_file(dir.path());
        planted.assert_absent(printed.as_bytes(), "the agent's log");
        planted.assert_absent_below(dir.path());
        let under_way = fs::read_dir(dir.path().join("history.db-under-way"));
        n_left += under_way.unwrap().count();
    }
    // The next agent reads the crashed agent's files, and the records that the kernel kept.
    let agent = start(dir);
    agent.wait_for(&module, n_followed);
    let store = agent.store();
    let (dir, printed) = agent.stop_with_log();
    planted.assert_absent(printed.as_bytes(), "the agent's log");
    planted.assert_absent_in_history(&store);
    planted.assert_absent_below(dir.path());
    print_figure(
        "planted secrets, crashes of an agent",
        format!("{} builds with secrets, 4 signals", all.len()),
        format!("found 0 in history, log and {n_left} files of running builds; no core file"),
    );
}
