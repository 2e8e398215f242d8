//! `gotrace explain` over real builds: a build, a change, a second build, and the sentence that explains it. The ID of each explained
//! action is that of Go's own action graph, and the lines of each key are those that Go prints. Needs root.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tests::agent::Agent;
use tests::{Module, Toolchain, read_json, run_gotrace, toolchain, toolchains};

/// The graph that the second build writes.
const GRAPH: &str = "graph.json";
/// Most builds until all probes are attached.
const WARM_UPS: usize = 5;

/// A build, a change, a second build, and its explanation.
struct Story {
    name: &'static str,
    first: Build,
    change: fn(&Module),
    second: Build,
    /// Parts of the sentences about the roots, in any order.
    expected: &'static [&'static str],
    /// Number of further modules that the program imports.
    n_modules: usize,
}

/// Arguments and environment of `go build`.
#[derive(Clone, Copy, Default)]
struct Build {
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const PLAIN: Build = Build {
    args: &[],
    env: &[],
};

const fn with(args: &'static [&'static str]) -> Build {
    Build { args, env: &[] }
}

fn nothing(_module: &Module) {}

/// Stories for each release.
const EACH: [Story; 3] = [
    Story {
        name: "a file of the lowest package",
        first: PLAIN,
        change: |it| it.append("leaf/leaf.go", "\n// More is new.\nconst More = 1\n"),
        second: PLAIN,
        expected: &["leaf.go changed in example.com/layers/leaf"],
        n_modules: 0,
    },
    Story {
        name: "a value that the linker writes",
        first: with(&["-ldflags=-X main.word=one"]),
        change: nothing,
        second: with(&["-ldflags=-X main.word=two"]),
        expected: &["-ldflags: -X main.word changed"],
        n_modules: 0,
    },
    Story {
        name: "flags of the compiler",
        first: PLAIN,
        change: nothing,
        second: with(&["-gcflags=example.com/layers/...=-N"]),
        expected: &["-gcflags: [] [] → [] [\"-N\"]"],
        n_modules: 0,
    },
];

/// Further stories.
const MORE: [Story; 11] = [
    Story {
        name: "a tag after the names of 190 modules",
        first: PLAIN,
        change: nothing,
        second: with(&["-tags=special"]),
        expected: &[
            "tagged.go added in example.com/layers/leaf",
            "-tags added: special",
        ],
        n_modules: 190,
    },
    Story {
        name: "an embedded file",
        first: PLAIN,
        change: |it| it.write("top/word.txt", "another\n"),
        second: PLAIN,
        expected: &["word.txt changed in example.com/layers/top"],
        n_modules: 0,
    },
    Story {
        name: "a new file",
        first: PLAIN,
        change: |it| {
            it.write(
                "middle/new.go",
                "package middle\n\n// New is new.\nconst New = 1\n",
            );
        },
        second: PLAIN,
        expected: &["new.go added in example.com/layers/middle"],
        n_modules: 0,
    },
    Story {
        name: "a tag that selects a file",
        first: PLAIN,
        change: nothing,
        second: with(&["-tags=special"]),
        expected: &[
            "tagged.go added in example.com/layers/leaf",
            "-tags added: special",
        ],
        n_modules: 0,
    },
    Story {
        name: "GOFLAGS",
        first: PLAIN,
        change: nothing,
        second: Build {
            args: &[],
            env: &[("GOFLAGS", "-trimpath")],
        },
        // Without the flag, the standard library came from the cache.
        expected: &["-trimpath added", "the history has no earlier key"],
        n_modules: 0,
    },
    Story {
        name: "a value that the linker did not write before",
        first: PLAIN,
        change: nothing,
        second: with(&["-ldflags=-X main.word=new"]),
        expected: &["-ldflags: -X main.word added"],
        n_modules: 0,
    },
    Story {
        name: "flags of the linker",
        first: PLAIN,
        change: nothing,
        second: with(&["-ldflags=-s -w"]),
        expected: &["-ldflags added: -s -w"],
        n_modules: 0,
    },
    Story {
        name: "the language of go.mod",
        first: PLAIN,
        change: |it| it.write("go.mod", "module example.com/layers\n\ngo 1.20\n"),
        second: PLAIN,
        expected: &["go line of go.mod: 1.19 → 1.20"],
        n_modules: 0,
    },
    Story {
        name: "a removed program",
        first: PLAIN,
        change: |it| fs::remove_file(it.dir().join("out")).unwrap(),
        second: PLAIN,
        expected: &["same inputs as in an earlier"],
        n_modules: 0,
    },
    Story {
        name: "a file and a flag at once",
        first: PLAIN,
        change: |it| {
            let file = it.dir().join("leaf/leaf.go");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("\"leaf\"", "\"a longer leaf\"")).unwrap();
        },
        second: with(&["-gcflags=example.com/layers/...=-N"]),
        expected: &[
            "-gcflags: [] [] → [] [\"-N\"]",
            "leaf.go changed; -gcflags: [] [] → [] [\"-N\"] in example.com/layers/leaf",
        ],
        n_modules: 0,
    },
    Story {
        name: "two changed packages",
        first: PLAIN,
        change: |it| {
            it.append("leaf/leaf.go", "\n// More is new.\nconst More = 1\n");
            it.write("top/word.txt", "another\n");
        },
        second: PLAIN,
        expected: &[
            "leaf.go changed in example.com/layers/leaf",
            "word.txt changed in example.com/layers/top",
        ],
        n_modules: 0,
    },
];

impl Story {
    fn tell(&self, agent: &Agent, toolchain: &Toolchain) {
        let module = Module::copy("layers");
        module.sandbox.make_warm(toolchain);
        import_modules(&module, self.n_modules);
        self.build(&module, toolchain, self.first);
        agent.wait_for(&module, 1);
        (self.change)(&module);
        let printed = self.build(&module, toolchain, self.second);
        let builds = agent.wait_for(&module, 2);
        let id = builds[1]["id"].as_str().unwrap();
        let explained = self.explain(agent, &["--format", "json", id]);
        let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
        let explanation = &explained["explanation"];
        let text = self.explain(agent, &[id]);
        let text = String::from_utf8(text.stdout).unwrap();
        let about = format!(
            "{} with Go {}:\n{text}\n{explanation:#}",
            self.name, toolchain.version
        );

        // Every executed action has a cause, and the ID that Go computed.
        let ids = ids_of_graph(&module);
        let actions = explanation["actions"].as_array().unwrap();
        assert!(!actions.is_empty(), "{about}");
        for action in actions {
            let unit = (name(&action["kind"]), name(&action["package"]));
            assert_eq!(
                ids.get(&unit),
                Some(&name(&action["id"])),
                "{unit:?} {about}"
            );
            assert_ne!(action["cause"], "unresolved", "{about}");
        }
        assert_eq!(executed(&printed), packages(actions), "{about}");

        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for sentence in self.expected {
            assert!(one_line.contains(sentence), "{sentence}: {about}");
        }
        let roots = explanation["roots"].as_array().unwrap();
        assert!(roots.len() <= self.expected.len(), "{about}");
    }

    fn build(&self, module: &Module, toolchain: &Toolchain, build: Build) -> Output {
        let graph = format!("-debug-actiongraph={GRAPH}");
        let own = ["build", "-x", "-o", "out", &graph];
        let args = [&own[..], build.args, &["."]].concat();
        let mut go = module.go(toolchain, &args);
        let output = go.envs(build.env.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.name);
        output
    }

    fn explain(&self, agent: &Agent, args: &[&str]) -> Output {
        let store = agent.store();
        let store = ["explain", "--store", store.to_str().unwrap()];
        let output = run_gotrace([&store[..], args].concat(), [("COLUMNS", "100")]);
        assert!(output.status.success(), "{}: {output:?}", self.name);
        output
    }
}

/// Adds modules that the program imports. The build information of the program names each of them.
fn import_modules(module: &Module, n: usize) {
    if n == 0 {
        return;
    }
    let mut lines = vec!["module example.com/layers\n\ngo 1.19".to_owned()];
    let mut imports = vec!["package main".to_owned()];
    for i in 0..n {
        let path = format!("example.com/a-module-with-a-long-name/number{i}");
        let dir = format!("modules/number{i}");
        let go_mod = format!("module {path}\n\ngo 1.19\n");
        module.write(&format!("{dir}/go.mod"), &go_mod);
        let package = "// Package it is empty.\npackage it\n";
        module.write(&format!("{dir}/it.go"), package);
        lines.push(format!(
            "require {path} v1.0.{i}\nreplace {path} => ./{dir}"
        ));
        imports.push(format!("import _ \"{path}\""));
    }
    module.write("go.mod", &(lines.join("\n\n") + "\n"));
    module.write("modules.go", &(imports.join("\n\n") + "\n"));
}

fn name(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The IDs of the actions in Go's own graph, by mode and package.
fn ids_of_graph(module: &Module) -> BTreeMap<(String, String), String> {
    let graph = read_json(&module.dir().join(GRAPH));
    let actions = graph.as_array().unwrap().iter();
    let ids = actions.map(|it| {
        (
            (name(&it["Mode"]), name(&it["Package"])),
            name(&it["ActionID"]),
        )
    });
    ids.filter(|(_, id)| !id.is_empty()).collect()
}

/// The packages that a build compiled, according to the commands that `go build -x` prints.
fn executed(output: &Output) -> BTreeSet<String> {
    let printed = String::from_utf8_lossy(&output.stderr);
    let compiled = printed.lines().filter(|it| it.contains("/compile -o "));
    let packages = compiled.filter_map(|it| {
        let (_, rest) = it.split_once(" -p ")?;
        Some(rest.split(' ').next()?.to_owned())
    });
    let main = |it: String| {
        if it == "main" {
            "example.com/layers".to_owned()
        } else {
            it
        }
    };
    packages.map(main).collect()
}

fn packages(actions: &[Value]) -> BTreeSet<String> {
    let built = actions.iter().filter(|it| it["kind"] == "build");
    built.map(|it| name(&it["package"])).collect()
}

/// Runs one test at a time: an agent observes every build on the machine, and would compare the builds of one test with those of the other.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent that has attached its probes to these toolchains. It finds a toolchain when that runs for the first time.
fn agent(toolchains: &[Toolchain]) -> Agent {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start_in(dir, &["--detail", "cache-key"]);
    for toolchain in toolchains {
        let module = Module::copy("layers");
        module.sandbox.make_warm(toolchain);
        for n in 1..=WARM_UPS {
            module.run_go(toolchain, &["build", "-a", "-o", "out", "./leaf"]);
            let builds = agent.wait_for(&module, n);
            if builds[n - 1]["anomalies"] == 0 {
                break;
            }
            assert!(n < WARM_UPS, "{builds:#?}");
        }
    }
    agent
}

#[test]
fn the_cause_is_true_for_each_release() {
    let _alone = alone();
    let toolchains = toolchains();
    let agent = agent(&toolchains);
    for toolchain in &toolchains {
        for story in &EACH {
            story.tell(&agent, toolchain);
        }
    }
    agent.stop();
}

#[test]
fn every_kind_of_change_is_named() {
    let _alone = alone();
    let newest = toolchain("1.27");
    let agent = agent(std::slice::from_ref(&newest));
    for story in &MORE {
        story.tell(&agent, &newest);
    }
    agent.stop();
}
