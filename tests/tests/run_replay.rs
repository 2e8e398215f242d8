//! A recording gives the same trace as the live run, for every user.
#![cfg(test)]

use std::fs;
use std::process::Command;

use tests::{Module, gotrace, read_json, run_gotrace, toolchain};

const NO_ENV: [(&str, &str); 0] = [];

#[test]
fn a_replay_equals_the_live_trace() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("cmds");
    module.sandbox.make_warm(&toolchain);
    let out = module.sandbox.out();
    let (live, recording, replayed) = (
        out.join("live.json"),
        out.join("r.gotrace"),
        out.join("replayed.json"),
    );
    let output = tests::gotrace_command(module.sandbox.env(&toolchain))
        .args(["run", "--detail", "cache-key", "--format", "json", "-o"])
        .arg(&live)
        .arg("--record")
        .arg(&recording)
        .args(["--", "go", "build", "-o"])
        .arg(out.join("bin/"))
        .arg("./...")
        .current_dir(module.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    // Replays as a user without rights, in an environment without Go.
    for path in [module.sandbox.path(), out.as_path(), recording.as_path()] {
        assert!(
            Command::new("chmod")
                .arg("a+rx")
                .arg(path)
                .status()
                .unwrap()
                .success()
        );
    }
    let copy = out.join("gotrace");
    fs::copy(gotrace(), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .args(["replay", "--format", "jsonl"])
        .arg(&recording)
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    fs::write(&replayed, &output.stdout).unwrap();
    let (live, replayed) = (read_json(&live), read_json(&replayed));
    assert!(!live["builds"].as_array().unwrap().is_empty());
    assert_eq!(live, replayed);
}

#[test]
fn record_reports_its_file_and_leaves_stdout_to_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("r.gotrace");
    let path = recording.to_str().unwrap();
    let output = run_gotrace(
        ["record", "-o", path, "--", "sh", "-c", "echo out; exit 4"],
        NO_ENV,
    );
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(output.stdout, b"out\n");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(
        printed.starts_with("gotrace: recorded ") && printed.contains("(0 lost)"),
        "{printed}"
    );
    let output = run_gotrace(["replay", path], NO_ENV);
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("exit 4"),
        "{output:?}"
    );
}

#[test]
fn a_damaged_recording_prints_its_readable_part_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.gotrace");
    let path = whole.to_str().unwrap();
    let output = run_gotrace(
        ["record", "-o", path, "--", "sh", "-c", "true; true"],
        NO_ENV,
    );
    assert!(output.status.success(), "{output:?}");
    let bytes = fs::read(&whole).unwrap();
    let half = dir.path().join("half.gotrace");
    fs::write(&half, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let output = run_gotrace(["replay", half.to_str().unwrap()], NO_ENV);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("half.gotrace"),
        "{output:?}"
    );
    let output = run_gotrace(["replay", "/etc/passwd"], NO_ENV);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot replay /etc/passwd"),
        "{output:?}"
    );
}
