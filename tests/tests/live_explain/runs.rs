//! Runs of one test, one after another, and the sentence that explains each. The lines that `GODEBUG=gocachetest=1` prints show that the
//! sentence is true.

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tests::agent::Agent;
use tests::{Module, Toolchain, toolchains};

use crate::{GRAPH, agent, alone, explanation, ids_of_graph, name};

/// The file that the test reads.
const INPUT: &str = "top/testdata/input.txt";
/// A value that appears in no explanation.
const VALUE: &str = "slow-4711";
const TESTED: &str = "example.com/layers/top";

/// A change, and a run of the test.
struct Step {
    change: fn(&Module),
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    dir: &'static str,
    /// A part of what Go prints about the stored result.
    printed: &'static str,
    /// Parts of the sentences about the roots. Without one, the test does not run.
    expected: &'static [&'static str],
    fails: bool,
    /// True for a step on every release; others are for the oldest and the newest.
    is_brief: bool,
}

const STEP: Step = Step {
    change: |_| {},
    args: &["./top"],
    env: &[],
    dir: ".",
    printed: "",
    expected: &[],
    fails: false,
    is_brief: false,
};

const STEPS: [Step; 18] = [
    // The history may have keys of other releases.
    Step {
        change: |it| set_time(it, 1_000_000_000),
        printed: "input list not found",
        expected: &[""],
        is_brief: true,
        ..STEP
    },
    // Nothing changed.
    Step { ..STEP },
    Step {
        change: |it| set_time(it, 1_000_000_001),
        printed: "test output not found",
        expected: &[
            "only the modification time of testdata/input.txt changed in example.com/layers/top: Go compares it",
        ],
        is_brief: true,
        ..STEP
    },
    Step {
        change: |it| write(it, "another text\n", 1_000_000_002),
        printed: "test output not found",
        expected: &["size and modification time of testdata/input.txt changed"],
        ..STEP
    },
    Step {
        env: &[("MODE", VALUE)],
        printed: "test output not found",
        expected: &["variable MODE changed"],
        is_brief: true,
        ..STEP
    },
    Step {
        args: &["-run=Word", "./top"],
        printed: "input list not found",
        expected: &["-run added: Word"],
        ..STEP
    },
    Step {
        args: &["-count=1", "./top"],
        printed: "caching disabled for test argument: -test.count=1",
        expected: &["-count=1 was set: Go caches no test result with it"],
        is_brief: true,
        ..STEP
    },
    Step {
        args: &[],
        dir: "top",
        printed: "caching disabled in local directory mode",
        expected: &["go test had no package argument"],
        ..STEP
    },
    Step {
        change: expire,
        printed: "test output expired due to go clean -testcache",
        expected: &["but its result had expired (go clean -testcache) or was deleted"],
        ..STEP
    },
    Step {
        change: |it| write(it, "fail\n", 1_000_000_003),
        printed: "test output not found",
        expected: &["size and modification time of testdata/input.txt changed"],
        fails: true,
        ..STEP
    },
    Step {
        printed: "test output not found",
        expected: &["the earlier run failed: Go caches no failure"],
        fails: true,
        ..STEP
    },
    Step {
        change: |it| fs::remove_file(it.dir().join(INPUT)).unwrap(),
        printed: "test output not found",
        expected: &["testdata/input.txt removed in example.com/layers/top"],
        fails: true,
        ..STEP
    },
    // A file from the future is always too young.
    Step {
        change: |it| write(it, "a text of the future\n", 4_000_000_000),
        printed: "file used as input is too new",
        expected: &["size and modification time of testdata/input.txt changed"],
        ..STEP
    },
    Step {
        args: &["-v", "./top"],
        printed: "input list not found",
        expected: &["-v added: true"],
        ..STEP
    },
    Step {
        args: &["-v", "./top"],
        printed: "input list not found",
        expected: &[
            "the earlier run stored no result: the test had read a file that was modified less than 2 seconds before",
        ],
        ..STEP
    },
    Step {
        args: &["-exec=/usr/bin/env", "./top"],
        printed: "input list not found",
        expected: &["-exec /usr/bin/env was set: Go caches no test result with it"],
        ..STEP
    },
    // Another binary.
    Step {
        change: |it| {
            it.write(
                "leaf/leaf.go",
                "package leaf\n\n// Word is long.\nconst Word = \"a longer leaf\"\n",
            );
            set_time(it, 1_000_000_002);
        },
        printed: "input list not found",
        expected: &["leaf.go changed in example.com/layers/leaf"],
        is_brief: true,
        ..STEP
    },
    Step {
        change: |it| fs::remove_dir_all(it.dir().join("top/testdata")).unwrap(),
        printed: "test output not found",
        expected: &["testdata/input.txt removed in example.com/layers/top"],
        fails: true,
        ..STEP
    },
];

fn write(module: &Module, text: &str, seconds: u64) {
    module.write(INPUT, text);
    set_time(module, seconds);
}

fn set_time(module: &Module, seconds: u64) {
    let file = File::options().write(true).open(module.dir().join(INPUT));
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    file.unwrap().set_modified(time).unwrap();
}

/// Writes the file that `go clean -testcache` writes.
fn expire(module: &Module) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let file = module.sandbox.gocache().join("testexpire.txt");
    fs::write(file, format!("{}\n", now.as_nanos())).unwrap();
}

impl Step {
    fn run(&self, agent: &Agent, toolchain: &Toolchain, module: &Module, n: usize) {
        (self.change)(module);
        let graph = module.dir().join(GRAPH);
        let graph = format!("-debug-actiongraph={}", graph.display());
        let mut go = module.go(toolchain, &[&["test", &graph], self.args].concat());
        go.current_dir(module.dir().join(self.dir));
        go.envs(self.env.iter().copied())
            .env("GODEBUG", "gocachetest=1");
        let output = go.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        let builds = agent.wait_for(module, n);
        let (explanation, text) = explanation(agent, builds[n - 1]["id"].as_str().unwrap());
        let about = format!(
            "step {n} with Go {}:\n{printed}\n{text}\n{explanation:#}",
            toolchain.version
        );
        assert_eq!(output.status.success(), !self.fails, "{about}");
        assert!(printed.contains(self.printed), "{about}");
        for sentence in self.expected {
            assert!(text.contains(sentence), "{sentence}: {about}");
        }
        assert!(!about.contains(VALUE), "{about}");

        let actions = explanation["actions"].as_array().unwrap();
        let tests = actions.iter().filter(|it| it["kind"] == "test");
        let tests: Vec<&Value> = tests.collect();
        assert_eq!(tests.len(), self.expected.len(), "{about}");
        assert!(
            tests
                .iter()
                .all(|it| it["package"] == TESTED && it["cpu_ns"] != 0)
        );
        let ids = ids_of_graph(module);
        for action in actions.iter().filter(|it| it["kind"] != "test") {
            let unit = (name(&action["kind"]), name(&action["package"]));
            let id = ids.get(&unit);
            assert!(
                id.is_none_or(|it| *it == name(&action["id"])),
                "{unit:?} {about}"
            );
        }
        // Before Go 1.26, Go vets a tested package each time. The first step compares packages of Go with those of other releases.
        let roots = explanation["roots"].as_array().unwrap().iter();
        let roots = roots.filter(|it| it["root"] != "vetted_before");
        assert!(n == 1 || roots.count() == self.expected.len(), "{about}");
        assert!(!text.contains("not known"), "{about}");
    }
}

/// 27 of Go 1.27.3.
fn minor(toolchain: &Toolchain) -> u32 {
    let number = toolchain.version.split('.').nth(1);
    number.and_then(|it| it.parse().ok()).unwrap()
}

#[test]
fn the_cause_of_a_test_run_is_true_for_each_release() {
    let _alone = alone();
    let toolchains = toolchains();
    let agent = agent(&toolchains);
    let minors = toolchains.iter().map(minor);
    let (oldest, newest) = (minors.clone().min(), minors.max());
    for toolchain in &toolchains {
        let module = Module::copy("layers");
        module.sandbox.make_warm(toolchain);
        let is_full = [oldest, newest].contains(&Some(minor(toolchain)));
        let steps = STEPS.iter().filter(|it| is_full || it.is_brief);
        for (n, step) in (1..).zip(steps) {
            step.run(&agent, toolchain, &module, n);
        }
    }
    agent.stop();
}
