//! `gotrace doctor` reports the state of the machine, as text and as JSON.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::Value;
use tests::{gotrace, run_gotrace, toolchain};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn check<'a>(examination: &'a Value, name: &str) -> &'a Value {
    let mut checks = examination["checks"].as_array().unwrap().iter();
    checks
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check {name}: {examination}"))
}

#[test]
fn doctor_as_root_traces_a_command_and_finds_the_toolchain_in_path() {
    let toolchain = toolchain("1.24");
    let path = format!("{}:/usr/bin:/bin", toolchain.go.parent().unwrap().display());
    let examination = json(&run_gotrace(
        ["doctor", "--format", "json"],
        [("PATH", path)],
    ));
    assert_eq!(examination["schema"], "gotrace.doctor/v1");
    for name in ["btf", "capabilities", "programs", "self-test", "toolchains"] {
        assert_eq!(
            check(&examination, name)["verdict"],
            "fine",
            "{}",
            check(&examination, name)
        );
    }
    let goroot = toolchain.goroot.canonicalize().unwrap();
    let toolchains = examination["toolchains"].as_array().unwrap();
    let found = toolchains
        .iter()
        .find(|it| it["place"] == goroot.to_str().unwrap())
        .unwrap();
    assert_eq!(found["version"], format!("go{}", toolchain.version));
    for role in ["go", "compile", "link"] {
        let tool = found["tools"]
            .as_array()
            .unwrap()
            .iter()
            .find(|tool| tool["role"] == role)
            .unwrap();
        assert_eq!(tool["is_attached"], true, "{tool}");
        assert!(!tool["probes"].as_array().unwrap().is_empty(), "{tool}");
        assert!(tool["refused"].as_array().unwrap().is_empty(), "{tool}");
    }
}

#[test]
fn doctor_without_rights_reports_the_missing_ones_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("gotrace");
    std::fs::copy(gotrace(), &copy).unwrap();
    assert!(
        Command::new("chmod")
            .args(["-R", "a+rx"])
            .arg(dir.path())
            .status()
            .unwrap()
            .success()
    );
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .arg("doctor")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(111), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    for part in [
        "CAP_BPF (loading programs)",
        "CAP_PERFMON",
        "run with sudo",
        "Tracing does not work",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
}

#[test]
fn the_bundle_of_a_bug_report_contains_no_secret_and_replaces_no_file() {
    const SECRET: &str = "hunter2";
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gotrace.toml");
    let text = format!(
        "listen = \"none\"\nstore = {:?}\n[otlp]\nendpoint = \"http://u:{SECRET}@127.0.0.1:1\"\n\
         headers = {{ authorization = \"Bearer {SECRET}\" }}\n",
        dir.path().join("history.db")
    );
    fs::write(&config, text).unwrap();
    let path = dir.path().join("bundle.tar.gz");
    let bundle = || {
        let args = ["doctor", "--bundle", path.to_str().unwrap()];
        run_gotrace(args, [("GOTRACE_CONFIG", &config)])
    };
    let written = bundle();
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let printed = String::from_utf8(written.stdout).unwrap();
    let stat = fs::metadata(&path).unwrap();
    assert_eq!(stat.permissions().mode() & 0o777, 0o600);

    let output = Command::new("tar")
        .arg("xzf")
        .arg(&path)
        .arg("-C")
        .arg(dir.path())
        .output();
    assert!(output.unwrap().status.success());
    let unpacked = fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
    let unpacked = unpacked.map(|it| it.path()).find(|it| it.is_dir()).unwrap();
    let mut names = 0;
    for entry in fs::read_dir(unpacked).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(printed.contains(&name), "{name}: {printed}");
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(!text.is_empty() && !text.contains(SECRET), "{name}: {text}");
        let expected = match &*name {
            "version.txt" => "commit ",
            "doctor.json" => "gotrace.doctor/v1",
            "config.txt" => "otlp.endpoint = \"http://127.0.0.1:1\"",
            "doctor.txt" => "Next: ",
            "kernel.txt" => "release: ",
            "metrics.txt" | "ready.txt" => "the agent has no pages",
            _ => "",
        };
        assert!(text.contains(expected), "{name}: {text}");
        names += 1;
    }
    assert_eq!(names, 11, "{printed}");

    let again = bundle();
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("exists: choose another name"), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), stat.len());
}
