//! gotrace does no harm: if it is killed during a build, the build succeeds and no probe remains.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::{Module, gotrace_command, toolchain};

const PATIENCE: Duration = Duration::from_mins(2);

/// Ids of the kernel programs that a process holds. A program exists as long as any of its attachments.
fn programs_of(pid: u32) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .unwrap()
        .flatten();
    let infos = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let id = |info: String| {
        let id = info
            .lines()
            .find_map(|line| line.strip_prefix("prog_id:"))?;
        id.trim().parse().ok()
    };
    infos.filter_map(id).collect()
}

/// Ids of all programs in the kernel.
fn programs() -> BTreeSet<u64> {
    let output = Command::new("bpftool")
        .args(["--json", "prog", "list"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let programs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let programs = programs.as_array().unwrap().iter();
    programs
        .filter_map(|program| program["id"].as_u64())
        .collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "timed out waiting for {what}");
        thread::yield_now();
    }
}

/// Starts a build under gotrace, and waits until it compiles.
fn start_build(module: &Module, detail: &str) -> Child {
    let toolchain = toolchain("1.27");
    let mut env = module.sandbox.env(&toolchain);
    env.push(("GOFLAGS".into(), "-p=2".into()));
    let started = module.sandbox.out().join("started");
    let script = format!(
        "go build -o out . && echo built > done; touch {}",
        module.sandbox.out().join("ended").display()
    );
    let child = gotrace_command(env)
        .args(["run", "--quiet", "--detail", detail, "--", "sh", "-c"])
        .arg(format!("touch {}; {script}", started.display()))
        .current_dir(module.dir())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Non-empty cache: a compiler has finished.
    wait_until("a compiled package", || {
        started.exists() && n_entries(module) > 3
    });
    child
}

fn n_entries(module: &Module) -> usize {
    let dirs = fs::read_dir(module.sandbox.gocache())
        .into_iter()
        .flatten()
        .flatten();
    dirs.filter(|dir| fs::read_dir(dir.path()).is_ok_and(|mut files| files.next().is_some()))
        .count()
}

#[test]
fn a_killed_gotrace_harms_no_build_and_leaves_no_probe() {
    for detail in ["phase", "cache-key"] {
        // Cold: with `fmt`, fifty packages are compiled.
        let module = Module::copy("wasm");
        let mut gotrace = start_build(&module, detail);
        let programs_of_gotrace = programs_of(gotrace.id());
        assert!(programs_of_gotrace.len() > 3, "{programs_of_gotrace:?}");
        assert!(programs_of_gotrace.is_subset(&programs()));
        gotrace.kill().unwrap();
        gotrace.wait().unwrap();
        wait_until("the end of the build", || {
            module.sandbox.out().join("ended").exists()
        });
        assert!(module.dir().join("done").exists(), "the build failed");
        assert!(
            Command::new(module.dir().join("out"))
                .output()
                .unwrap()
                .status
                .success()
        );
        wait_until("the end of all probes", || {
            programs_of_gotrace.is_disjoint(&programs())
        });
    }
}

#[test]
fn tools_do_not_crash_while_probes_are_attached_and_detached() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    let has_ended = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let attacher = scope.spawn(|| {
            let mut n = 0;
            while !has_ended.load(std::sync::atomic::Ordering::Relaxed) {
                let mut gotrace = gotrace_command(module.sandbox.env(&toolchain))
                    .args([
                        "run",
                        "--quiet",
                        "--detail",
                        "cache-key",
                        "--",
                        "sleep",
                        "2",
                    ])
                    .spawn()
                    .unwrap();
                thread::sleep(Duration::from_millis(37 * (n % 20)));
                // Kills gotrace, so that the kernel detaches the probes at any moment.
                gotrace.kill().unwrap();
                gotrace.wait().unwrap();
                n += 1;
            }
            n
        });
        for i in 0..20 {
            module.write(
                "main.go",
                &format!("package main\n\nfunc main() {{ println({i}) }}\n"),
            );
            let output = module
                .sandbox
                .go(&toolchain)
                .args(["build", "-o", "out", "."])
                .current_dir(module.dir())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let printed = Command::new(module.dir().join("out")).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&printed.stderr), format!("{i}\n"));
        }
        has_ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(attacher.join().unwrap() > 5);
    });
}
