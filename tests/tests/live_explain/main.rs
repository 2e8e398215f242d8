//! `gotrace explain` over real builds: a build, a change, a second build, and the sentence that explains it. The ID of each explained
//! action is that of Go's own action graph, and the lines of each key are those that Go prints. Needs root.
#![cfg(test)]

mod runs;
mod stories;

use std::collections::{BTreeMap, BTreeSet};
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
    prepare: fn(&Module),
    first: Build,
    change: fn(&Module),
    second: Build,
    /// Parts of the sentences about the roots, in any order. Without one, no action runs.
    expected: &'static [&'static str],
    /// Number of further modules that the program imports.
    n_modules: usize,
}

/// Arguments and environment of `go build`.
#[derive(Clone, Copy, Default)]
struct Build {
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// A directory of the module.
    dir: &'static str,
}

const PLAIN: Build = Build {
    args: &[],
    env: &[],
    dir: ".",
};

const fn with(args: &'static [&'static str]) -> Build {
    Build { args, ..PLAIN }
}

fn nothing(_module: &Module) {}

impl Story {
    fn tell(&self, agent: &Agent, toolchain: &Toolchain) {
        let module = Module::copy("layers");
        module.sandbox.make_warm(toolchain);
        import_modules(&module, self.n_modules);
        (self.prepare)(&module);
        self.build(&module, toolchain, self.first);
        agent.wait_for(&module, 1);
        (self.change)(&module);
        let printed = self.build(&module, toolchain, self.second);
        let builds = agent.wait_for(&module, 2);
        let id = builds[1]["id"].as_str().unwrap();
        let (explanation, text) = explanation(agent, id);
        let about = format!(
            "{} with Go {}:\n{text}\n{explanation:#}",
            self.name, toolchain.version
        );

        // Every executed action has a cause, and the ID that Go computed.
        let ids = ids_of_graph(&module);
        let actions = explanation["actions"].as_array().unwrap();
        assert_eq!(actions.is_empty(), self.expected.is_empty(), "{about}");
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

        for sentence in self.expected {
            assert!(text.contains(sentence), "{sentence}: {about}");
        }
        let roots = explanation["roots"].as_array().unwrap();
        assert!(roots.len() <= self.expected.len(), "{about}");
    }

    fn build(&self, module: &Module, toolchain: &Toolchain, build: Build) -> Output {
        let graph = module.dir().join(GRAPH);
        let graph = format!("-debug-actiongraph={}", graph.display());
        let own = ["build", "-x", "-o", "out", &graph];
        let args = [&own[..], build.args, &["."]].concat();
        let mut go = module.go(toolchain, &args);
        go.current_dir(module.dir().join(build.dir));
        let output = go.envs(build.env.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.name);
        output
    }
}

/// The explanation of a build, and its text in one line.
fn explanation(agent: &Agent, id: &str) -> (Value, String) {
    let store = agent.store();
    let explain = |args: &[&str]| {
        let own = ["explain", "--store", store.to_str().unwrap(), id];
        let output = run_gotrace([&own[..], args].concat(), [("COLUMNS", "100")]);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let mut json: Value = serde_json::from_slice(&explain(&["--format", "json"])).unwrap();
    let text = String::from_utf8(explain(&[])).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (json["explanation"].take(), text)
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

/// The ID of an action in Go's own graph.
fn id_of_graph(module: &Module, mode: &str, package: &str) -> String {
    let unit = (mode.to_owned(), package.to_owned());
    ids_of_graph(module)[&unit].clone()
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
        for story in &stories::EACH {
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
    for story in &stories::MORE {
        story.tell(&agent, &newest);
    }
    agent.stop();
}
