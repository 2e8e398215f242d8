//! An agent over many builds. The test has its own file, because the agent would also observe the builds of parallel tests.
#![cfg(test)]

use std::fs;

use tests::agent::Agent;
use tests::{Module, toolchain};

#[test]
fn memory_and_open_files_do_not_grow_with_the_builds() {
    let agent = Agent::start();
    let new = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&new);
    let n_files = || {
        let count = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        agent.processes().iter().map(count).sum::<usize>()
    };
    let mut after = Vec::new();
    for n in 0..100 {
        if n % 4 == 0 {
            module.write(
                "main.go",
                &format!("package main\n\nfunc main() {{ println({n}) }}\n"),
            );
        }
        let mut go = module.go(&new, &["build", "-o", "out", "."]);
        let output = go.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        if n == 39 || n == 99 {
            agent.wait_for(&module, n + 1);
            after.push((agent.resident_kb(), n_files()));
        }
    }
    let [(early, files_early), (late, files_late)] = after[..] else {
        unreachable!()
    };
    // Sixty builds that leaked a kilobyte each would exceed this limit; the allocator's own reserve does not.
    assert!(late < early + 4096, "{early} kB, then {late} kB resident");
    assert!(
        files_late <= files_early,
        "{files_early}, then {files_late} open files"
    );
    agent.stop();
}
