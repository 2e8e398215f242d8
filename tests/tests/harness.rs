//! Tests the harness: toolchain versions, modules, and tables of phases. It does not run gotrace.
#![cfg(test)]

use tests::oracle::{self, Phase};
use tests::{Module, phases, toolchains};

/// Names as printed by the linker's benchmark, which changes the case of first letters.
fn names(phases: &[Phase]) -> Vec<&str> {
    phases.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn the_tables_of_phases_equal_the_output_of_the_tools() {
    for toolchain in toolchains() {
        let module = Module::copy("wasm");
        let bench = module.sandbox.out().join("bench.txt");
        let gcflags = format!("-gcflags=example.com/wasm=-bench={}", bench.display());
        module.sandbox.make_warm(&toolchain);
        let built = module.run_go(
            &toolchain,
            &["build", &gcflags, "-ldflags=-benchmark=cpu", "."],
        );

        let printed = std::fs::read_to_string(&bench).unwrap();
        let compile = oracle::compile_bench(&printed, "main");
        assert_eq!(
            names(&compile),
            phases::compile_phases(toolchain.minor()),
            "Go {}",
            toolchain.version
        );

        let printed =
            String::from_utf8(built.stderr).unwrap() + &String::from_utf8(built.stdout).unwrap();
        let link = oracle::link_benchmark(&printed);
        let expected: Vec<String> = phases::link_phases(toolchain.minor())
            .iter()
            .map(|it| it.to_lowercase())
            .collect();
        assert_eq!(names(&link), expected, "Go {}", toolchain.version);
    }
}

#[test]
fn broken_modules_fail_with_the_expected_error() {
    for toolchain in toolchains() {
        for (name, sentence) in [
            ("broken", "cannot use fine.Word()"),
            ("linkerr", "relocation target main.nowhere not defined"),
        ] {
            let module = Module::copy(name);
            module.sandbox.make_warm(&toolchain);
            let output = module.go(&toolchain, &["build", "."]).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stderr);
            assert!(
                !output.status.success() && printed.contains(sentence),
                "Go {}: {printed}",
                toolchain.version
            );
        }
    }
}

#[test]
fn every_module_builds_with_every_toolchain() {
    for toolchain in toolchains() {
        for name in ["hello", "cgo", "cmds", "wasm", "generate", "embed"] {
            let module = Module::copy(name);
            module.sandbox.make_warm(&toolchain);
            module.run_go(&toolchain, &["build", "./..."]);
        }
        let generate = Module::copy("generate");
        generate.sandbox.make_warm(&toolchain);
        generate.run_go(&toolchain, &["generate", "./..."]);
    }
}

#[test]
fn a_changed_module_is_compiled_again() {
    let toolchain = tests::toolchain("1.24");
    let module = Module::copy("cmds");
    let graph = module.sandbox.out().join("graph.json");
    module.sandbox.make_warm(&toolchain);
    let executed = || {
        module.run_go(
            &toolchain,
            &[
                "build",
                "-debug-actiongraph",
                graph.to_str().unwrap(),
                "./lib",
            ],
        );
        let actions = oracle::actiongraph(&graph);
        let executed = actions
            .iter()
            .filter(|it| it.mode == "build" && it.was_executed());
        executed.map(|it| it.package.clone()).collect::<Vec<_>>()
    };
    assert_eq!(executed(), ["example.com/cmds/lib"]);
    assert_eq!(executed(), [""; 0]);
    module.append("lib/lib.go", "\nvar Answer = 42\n");
    assert_eq!(executed(), ["example.com/cmds/lib"]);
    assert!(oracle::go_list_deps(&module, &toolchain, &["./lib"]).contains(&"fmt".to_owned()));
    assert_eq!(
        oracle::go_env(&module, &toolchain)["GOVERSION"],
        format!("go{}", toolchain.version)
    );
}
