//! `gotrace doctor` reports the state of the machine, as text and as JSON.
#![cfg(test)]

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
