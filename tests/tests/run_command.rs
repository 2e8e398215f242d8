//! `gotrace run` is transparent: the command's exit code, streams, signal state, limits and descriptors do not change.
#![cfg(test)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tests::{gotrace, gotrace_command};

const NO_ENV: [(&str, &str); 0] = [];

/// User id without rights, for tests.
const NOBODY: &str = "65534";

fn run(args: &[&str]) -> Output {
    tests::run_gotrace([&["run", "--quiet", "--"], args].concat(), NO_ENV)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `gotrace ARGS` as a user without capabilities. The binary is copied to a directory from which every user can execute it.
fn unprivileged(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("gotrace");
    std::fs::copy(gotrace(), &copy).unwrap();
    for path in [dir.path(), copy.as_path()] {
        let opened = Command::new("chmod")
            .arg("a+rx")
            .arg(path)
            .status()
            .unwrap();
        assert!(opened.success());
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    command.arg(&copy).args(args).output().unwrap()
}

#[test]
fn the_exit_code_equals_the_commands() {
    for code in [0, 1, 2, 3, 125, 126, 127, 255] {
        let output = run(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[test]
fn a_command_ended_by_a_signal_gives_128_plus_the_signal() {
    for (name, code) in [("TERM", 143), ("KILL", 137), ("INT", 130), ("ABRT", 134)] {
        let output = run(&["sh", "-c", &format!("kill -{name} $$")]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[test]
fn a_missing_command_gives_127_and_a_non_executable_one_126() {
    for (command, code, says) in [
        (
            "no-such-command",
            127,
            "cannot run no-such-command: no such command",
        ),
        (
            "/no/such/command",
            127,
            "cannot run /no/such/command: no such command",
        ),
        ("/etc/passwd", 126, "cannot run /etc/passwd: not executable"),
        ("/etc", 126, "cannot run /etc: not executable"),
    ] {
        let output = run(&[command]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(text(&output.stderr).contains(says), "{output:?}");
    }
}

#[test]
fn wrong_usage_gives_125_which_differs_from_the_commands_exit_codes() {
    for args in [
        &["run"][..],
        &["run", "--no-such-flag", "--", "true"],
        &["record", "--", "true"],
    ] {
        let output = tests::run_gotrace(args, NO_ENV);
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn a_script_without_interpreter_runs_as_under_execvp() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "echo \"$0 $1\"\n").unwrap();
    assert!(
        Command::new("chmod")
            .arg("+x")
            .arg(&script)
            .status()
            .unwrap()
            .success()
    );
    let script = script.to_str().unwrap();
    let output = run(&[script, "x"]);
    assert_eq!(text(&output.stdout), format!("{script} x\n"), "{output:?}");
}

#[test]
fn only_the_command_writes_to_stdout_and_it_reads_all_of_stdin() {
    let mut child = gotrace_command(NO_ENV)
        .args(["run", "--", "sh", "-c", "sha256sum; echo to stderr >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut plain = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    plain.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert_eq!(
        text(&output.stdout),
        text(&plain.wait_with_output().unwrap().stdout)
    );
    assert!(
        text(&output.stderr).starts_with("to stderr\n"),
        "{output:?}"
    );
}

/// The inherited state that a process can read about itself.
const INHERITED: &str = "grep -E '^(Sig(Blk|Ign)|Cap|NoNewPrivs|Seccomp:|Umask)' /proc/self/status; cat /proc/self/limits \
                         /proc/self/oom_score_adj; ls /proc/self/fd; readlink /proc/self/cwd; ps -o pgid=,sid=,tty=,ni= -p $$ | \
                         sed \"s/^ *$(ps -o pgid= -p $PPID | tr -d ' ')/same group/\"; env | grep -v '^_=' | sort";

fn inherited(shell: &str, gotrace: Option<&Path>) -> String {
    let wrapper = gotrace.map_or(String::new(), |gotrace| {
        format!("{} run --quiet -- ", gotrace.display())
    });
    // Both are children of one shell, so both have the same process group.
    let script = format!(
        "{shell}; {wrapper}sh -c '{}'; true",
        INHERITED.replace('\'', "'\\''")
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn the_command_inherits_the_same_state_as_without_gotrace() {
    for shell in [
        "true",
        // The cases are: signals that std changes before main, signals that nohup changes, and limits for builds.
        "trap '' PIPE",
        "trap '' HUP INT CHLD",
        "ulimit -n 77; ulimit -c 0; umask 027",
        "exec 9</dev/null",
    ] {
        let (with, without) = (inherited(shell, Some(&gotrace())), inherited(shell, None));
        assert!(without.contains("same group"), "{without}");
        assert_eq!(with, without, "after `{shell}`");
    }
}

#[test]
fn the_command_without_rights_runs_untraced_and_the_missing_right_is_reported() {
    let output = unprivileged(&["run", "--", "sh", "-c", "id -u; exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(text(&output.stdout), format!("{NOBODY}\n"));
    let printed = text(&output.stderr);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    for part in ["CAP_BPF", "sudo", "gotrace doctor", "untraced"] {
        assert!(printed.contains(part), "{printed}");
    }
}

#[test]
fn strict_mode_does_not_run_the_command_without_rights() {
    let output = unprivileged(&["run", "--strict", "--", "echo", "ran"]);
    assert_eq!(output.status.code(), Some(111), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(
        text(&output.stderr).contains("the command was not run"),
        "{output:?}"
    );
}

#[test]
fn an_unwritable_output_file_does_not_stop_the_command() {
    let args = ["run", "-o", "/no/such/dir/report", "--", "echo", "ran"];
    let output = tests::run_gotrace(args, NO_ENV);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "ran\n");
    assert!(
        text(&output.stderr).contains("cannot write /no/such/dir/report"),
        "{output:?}"
    );

    let args = [
        "run",
        "--strict",
        "-o",
        "/no/such/dir/report",
        "--",
        "echo",
        "ran",
    ];
    let output = tests::run_gotrace(args, NO_ENV);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_report_on_stdout_follows_the_output_of_the_command() {
    let args = ["run", "--format", "jsonl", "-o", "-", "--", "echo", "ran"];
    let output = tests::run_gotrace(args, NO_ENV);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    let report = printed.strip_prefix("ran\n").unwrap();
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["schema"], "gotrace.trace/v1");
    assert!(report["summary"]["wall_seconds"].as_f64().unwrap() > 0.0);

    // Otherwise stdout belongs to the command alone.
    let args = ["run", "--format", "json", "--", "echo", "ran"];
    let output = tests::run_gotrace(args, NO_ENV);
    assert_eq!(text(&output.stdout), "ran\n");
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["schema"], "gotrace.trace/v1");
}

#[test]
fn gotrace_does_not_wait_for_background_processes() {
    let mut child = gotrace_command(NO_ENV)
        .args([
            "run",
            "--",
            "sh",
            "-c",
            "sleep 600 >/dev/null 2>&1 & echo $!",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = loop {
        if child.try_wait().unwrap().is_some() {
            break child.wait_with_output().unwrap();
        }
        std::thread::yield_now();
    };
    let sleeper = text(&output.stdout).trim().to_owned();
    let is_alive = Path::new("/proc").join(&sleeper).exists();
    assert!(
        Command::new("kill")
            .arg(&sleeper)
            .status()
            .unwrap()
            .success()
    );
    assert!(is_alive);
    assert!(
        text(&output.stderr).contains("1 process of the command is still running"),
        "{output:?}"
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    for args in [["doctor", "--help"], ["run", "--help"]] {
        let mut child = gotrace_command(NO_ENV)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
}
