//! Builds whose processes reuse numbers of earlier processes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::{Module, toolchain};

/// Contains the last number that the kernel assigned; the kernel searches the next one from there.
const LAST: &str = "/proc/sys/kernel/ns_last_pid";

/// Runs a build and tries to give its `go` this number; returns the number it received.
fn build_as(module: &Module, number: u32, command: &mut Command) -> u32 {
    command.current_dir(module.dir()).stdout(Stdio::null());
    fs::write(LAST, (number - 1).to_string()).unwrap();
    let mut child = command.spawn().unwrap();
    let got = child.id();
    assert!(child.wait().unwrap().success());
    got
}

#[test]
fn builds_with_the_same_process_number_stay_separate() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let toolchain = toolchain("1.27");
    let modules = [crate::module(&toolchain), crate::module(&toolchain)];
    let builds = size(16, 120);
    // The tools reuse numbers, too: each build takes a dozen from here.
    let number = modules
        .iter()
        .map(|it| build_as(it, std::process::id(), &mut it.go(&toolchain, &["version"])))
        .max()
        .unwrap();
    let mut used: BTreeMap<u32, usize> = BTreeMap::new();
    for n in 0..builds {
        let module = &modules[n % 2];
        let change = format!("package main\n\nfunc main() {{ println({n}) }}\n");
        module.write("main.go", &change);
        let output = module.dir().join(format!("program{}", n % 2));
        let mut go = module.go(&toolchain, &["build", "-o"]);
        go.arg(&output).arg(".").process_group(0);
        *used.entry(build_as(module, number, &mut go)).or_default() += 1;
        let printed = Command::new(&output).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&printed.stderr), format!("{n}\n"));
    }
    let reused: usize = used.values().filter(|it| **it > 1).sum();
    let (mut listed, mut wrong) = (0, Vec::new());
    for (i, module) in modules.iter().enumerate() {
        let of_it = agent.wait_for(module, builds.div_ceil(2));
        listed += of_it.iter().filter(|it| is_build(it)).count();
        let expected = module.dir().join(format!("program{i}"));
        for build in of_it.iter().filter(|it| is_build(it)) {
            let path = build["targets"][0]["path"].as_str().unwrap_or_default();
            if build["state"] != "succeeded" || path != expected.to_str().unwrap() {
                wrong.push(build.clone());
            }
            if build["targets"].as_array().map(Vec::len) != Some(1) {
                wrong.push(build.clone());
            }
        }
    }
    print_figure(
        "builds with reused process numbers",
        format!("{builds} builds, {reused} with the number of another"),
        format!("{listed} in the history, {} mixed up", wrong.len()),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(listed, builds);
    assert!(reused > builds / 4, "{used:?}");
    agent.stop();
}

fn is_build(build: &Value) -> bool {
    build["command"] == "build"
}
