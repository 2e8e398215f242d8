//! gotrace's data compared with Go's own data of the same build, on every toolchain.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tests::oracle::{self, actiongraph, compile_bench, go_env, go_list_deps, link_benchmark};
use tests::traced::trace;
use tests::{Module, Toolchain, Traced, with_each_toolchain};
use tracer_core::model::{Action, Build, CallKind, Origin, Outcome};
use tracer_core::schedule::ActionGraph;

fn complete_build(traced: &Traced) -> &Build {
    traced.assert_success().assert_complete();
    traced.build()
}

fn key(action: &Action) -> (String, String) {
    let package = action.package.as_ref().map(ToString::to_string);
    (action.mode.clone(), package.unwrap_or_default())
}

/// A build that compiles one package and finds the others in the cache.
fn half_cached(toolchain: &Toolchain, module: &Module) -> (Traced, Vec<oracle::Action>) {
    module.append(
        "internal/greet/greet.go",
        "\nfunc again() string { return \"again\" }\n",
    );
    let graph = module.sandbox.out().join("graph.json");
    let flag = format!("-debug-actiongraph={}", graph.display());
    let output = module.sandbox.out().join("hello");
    let command = ["go", "build", &flag, "-o", output.to_str().unwrap(), "."];
    let traced = module.trace(toolchain, &command);
    complete_build(&traced);
    (traced, actiongraph(&graph))
}

#[test]
fn actions_equal_the_action_graph() {
    with_each_toolchain("hello", |toolchain, module| {
        let (traced, graph) = half_cached(toolchain, module);
        let build = traced.build();
        // Since 1.26 each C file has its own action, whose mode contains the file's name.
        let mode = |it: &str| match it.strip_prefix("cgo compile ") {
            Some(_) => "cgo compile".to_owned(),
            None => it.to_owned(),
        };
        let theirs: BTreeMap<(String, String), &oracle::Action> = graph
            .iter()
            .map(|it| ((mode(&it.mode), it.package.clone()), it))
            .collect();
        let ours: BTreeMap<(String, String), &Action> =
            build.actions.iter().map(|it| (key(it), it)).collect();

        // The graph also has nodes without work ("nop", the root "go build"), which have no span.
        let unknown: Vec<_> = ours
            .keys()
            .filter(|it| !it.1.is_empty() && !theirs.contains_key(*it))
            .collect();
        assert!(
            unknown.is_empty(),
            "actions that are not in Go's graph: {unknown:?}"
        );
        let missed: Vec<_> = theirs
            .iter()
            .filter(|(key, it)| it.was_executed() && !ours.contains_key(*key))
            .collect();
        assert!(missed.is_empty(), "missing actions: {missed:?}");

        for (key, action) in &ours {
            let Some(theirs) = theirs.get(key) else {
                continue;
            };
            if matches!(action.mode.as_str(), "build" | "link") {
                assert_eq!(
                    action.outcome == Outcome::Executed,
                    theirs.was_executed(),
                    "{key:?}: {action:?} {theirs:?}"
                );
            }
        }
    });
}

/// For each name, the names of all nodes below the nodes with this name.
fn below<K: Ord + Copy, N: Ord + Clone>(
    edges: &BTreeMap<K, (N, Vec<K>)>,
) -> BTreeMap<N, BTreeSet<N>> {
    let of = |from: &K| -> BTreeSet<N> {
        let mut seen = BTreeSet::new();
        let mut left = vec![*from];
        while let Some(at) = left.pop() {
            for it in edges.get(&at).map(|it| &it.1).into_iter().flatten() {
                if seen.insert(*it) {
                    left.push(*it);
                }
            }
        }
        let names = seen.iter().filter_map(|it| edges.get(it));
        names.map(|(name, _)| name.clone()).collect()
    };
    let mut all: BTreeMap<N, BTreeSet<N>> = BTreeMap::new();
    for (key, (name, _)) in edges {
        all.entry(name.clone()).or_default().append(&mut of(key));
    }
    all
}

#[test]
fn each_action_waits_for_the_same_actions_as_in_the_action_graph() {
    with_each_toolchain("hello", |toolchain, module| {
        module.write("own_test.go", "package main\n\nfunc init() { _ = main }\n");
        let file = module.sandbox.out().join("graph.json");
        let flag = format!("-debug-actiongraph={}", file.display());
        let mut gotrace = module.gotrace(toolchain, &["run", "--detail", "cache-key"]);
        let command = ["go", "test", &flag, "./..."];
        let traced = trace(&mut gotrace, &command, &module.sandbox.out());
        let build = complete_build(&traced);
        let graph = ActionGraph::of(build, build.end.unwrap()).expect("the build has keys");
        assert_eq!(graph.n_unknown(), 0);
        let ours = (0u32..).zip(&build.actions);
        // Go's graph has no name for the variant that belongs to a test.
        let plain = |(mode, package): (String, String)| {
            let path = package.split(" [").next().unwrap_or_default().to_owned();
            (mode, path)
        };
        let ours = ours.map(|(n, it)| (n, (plain(key(it)), graph.below(n as usize).to_vec())));
        let ours = below(&ours.collect());
        let theirs = actiongraph(&file).into_iter();
        let theirs = theirs.map(|it| (it.id, ((it.mode, it.package), it.deps)));
        let theirs = below(&theirs.collect());
        let mut n_compared = 0;
        for (name, below) in &ours {
            // A C file has its own name there, and the root has another form.
            let has_own_name = |it: &str| it.starts_with("cgo compile") || it == "collect cgo";
            if has_own_name(&name.0) || name.1.is_empty() {
                continue;
            }
            // Some nodes have no work, and no span.
            let expected = theirs.get(name);
            let expected = expected.unwrap_or_else(|| panic!("{name:?} is not in Go's graph"));
            let expected: BTreeSet<_> = (expected.iter())
                .filter(|it| ours.contains_key(*it) && !has_own_name(&it.0))
                .collect();
            let found: BTreeSet<_> = below.iter().filter(|it| !has_own_name(&it.0)).collect();
            let different: Vec<_> = found.symmetric_difference(&expected).collect();
            assert!(
                different.is_empty(),
                "{name:?} with Go {}: {different:?}",
                toolchain.version
            );
            n_compared += 1;
        }
        assert!(n_compared > 80, "{n_compared}");
    });
}

#[test]
fn actions_begin_and_end_at_the_times_of_the_action_graph() {
    with_each_toolchain("hello", |toolchain, module| {
        let (traced, graph) = half_cached(toolchain, module);
        let wall = |at: u64| i64::try_from(at).unwrap() + traced.trace.boot_to_wall_ns;
        let mut differences: Vec<i64> = Vec::new();
        for action in &traced.build().actions {
            let same = |it: &&oracle::Action| (it.mode.clone(), it.package.clone()) == key(action);
            let Some(theirs) = graph.iter().find(same) else {
                continue;
            };
            let end = action.end.expect("an end");
            differences.push((wall(action.start.0) - theirs.start_ns).abs());
            differences.push((wall(end.0) - theirs.done_ns).abs());
        }
        differences.sort_unstable();
        assert!(
            differences.len() > 80,
            "{} instants to compare",
            differences.len()
        );
        // Go reads its clock a few statements before or after the span's ends, and a busy machine can preempt the process in
        // between. The test therefore bounds the median closely. The maximum only detects a wrong clock or a wrong pairing.
        let median = differences[differences.len() / 2];
        let worst = differences[differences.len() - 1];
        assert!(median < 2_000_000, "median difference {median} ns");
        assert!(worst < 500_000_000, "worst difference {worst} ns");
    });
}

#[test]
fn packages_equal_go_list() {
    with_each_toolchain("hello", |toolchain, module| {
        // The module has a new directory, which is part of the cache's keys.
        module.run_go(toolchain, &["build", "-o", "/dev/null", "."]);
        module.append("internal/page/page.go", "\nvar changed = true\n");
        let traced = module.trace(toolchain, &["go", "build", "-o", "/dev/null", "."]);
        let build = complete_build(&traced);
        let packages: BTreeSet<String> = build
            .actions
            .iter()
            .filter(|it| it.mode == "build")
            .filter_map(|it| it.package.as_ref())
            .map(ToString::to_string)
            .filter(|it| it != "unsafe")
            .collect();
        let expected: BTreeSet<String> = go_list_deps(module, toolchain, &["."])
            .into_iter()
            .collect();
        assert_eq!(packages, expected);
        // Only the changed package and the main package that imports it are compiled.
        assert_eq!(build.packages.compiled, 2);
        assert_eq!(
            build.packages.cached,
            Some(u32::try_from(expected.len()).unwrap() - 2)
        );
    });
}

#[test]
fn settings_equal_go_env_and_have_a_source() {
    with_each_toolchain("hello", |toolchain, module| {
        module.run_go(toolchain, &["env", "-w", "GOFLAGS=-tags=file"]);
        module.append("main.go", "\nvar changed = true\n");
        let traced = module.trace(
            toolchain,
            &["go", "build", "-mod=mod", "-o", "/dev/null", "."],
        );
        let build = complete_build(&traced);
        let env = go_env(module, toolchain);
        assert_eq!(build.goflags.value, env["GOFLAGS"].as_str());
        let Origin::UserFile(file) = &build.goflags.origin else {
            panic!("not the user's file: {:?}", build.goflags)
        };
        assert_eq!(*file, env["GOENV"].as_str());
        let names = [
            "GOOS",
            "GOARCH",
            "GOVERSION",
            "CGO_ENABLED",
            "GOFLAGS",
            "GOPATH",
            "GOHOSTOS",
        ];
        for name in names {
            assert_eq!(
                build.env.get(name).map(ToString::to_string).as_ref(),
                env.get(name),
                "{name}"
            );
        }
        assert_eq!(build.toolchain.version.as_ref(), env.get("GOVERSION"));
        assert_eq!(
            build
                .toolchain
                .goroot
                .as_ref()
                .map(ToString::to_string)
                .as_ref(),
            env.get("GOROOT")
        );
        let flags: Vec<(&str, String)> = build
            .command
            .flags
            .iter()
            .map(|it| (it.name.as_str(), format!("{:?}", it.origin)))
            .collect();
        assert!(flags.contains(&("tags", "Goflags".to_owned())), "{flags:?}");
        assert!(flags.contains(&("mod", "Argv".to_owned())), "{flags:?}");
        assert_eq!(build.module.as_deref(), Some("example.com/hello"));
    });
}

#[test]
fn an_empty_variable_does_not_hide_the_users_file() {
    with_each_toolchain("hello", |toolchain, module| {
        module.run_go(toolchain, &["env", "-w", "GOFLAGS=-tags=file"]);
        let traced = module.trace_with(
            toolchain,
            &[("GOFLAGS", "")],
            &["go", "build", "-o", "/dev/null", "."],
        );
        assert_eq!(complete_build(&traced).goflags.value, "-tags=file");
        let traced = module.trace_with(
            toolchain,
            &[("GOFLAGS", "-tags=x")],
            &["go", "build", "-o", "/dev/null", "."],
        );
        assert_eq!(complete_build(&traced).goflags.origin, Origin::Environment);
    });
}

#[test]
fn link_phases_equal_the_linkers_own_measurement() {
    with_each_toolchain("hello", |toolchain, module| {
        let traced = module.trace(
            toolchain,
            &[
                "go",
                "build",
                "-ldflags=-benchmark=cpu",
                "-o",
                "/dev/null",
                ".",
            ],
        );
        let build = complete_build(&traced);
        let printed = String::from_utf8_lossy(&traced.output.stderr).into_owned();
        let theirs = link_benchmark(&printed);
        assert!(theirs.len() > 30, "{printed}");
        let link = build
            .calls
            .iter()
            .find(|it| it.kind == CallKind::Link && !it.is_query)
            .expect("a link");
        let ours: Vec<String> = link
            .phases
            .iter()
            .map(|it| it.name.to_lowercase())
            .collect();
        let names: Vec<String> = theirs.iter().map(|it| it.name.clone()).collect();
        assert_eq!(ours, names);
        // Both clocks measure the same work: the longest phase is the same one, or equally long.
        let longest = theirs.iter().max_by_key(|it| it.ns).expect("phases");
        let same = link
            .phases
            .iter()
            .find(|it| it.name.to_lowercase() == longest.name)
            .expect("the longest phase");
        let span = same.end.expect("an end").since(same.start);
        assert!(
            span >= longest.ns / 2 && span <= longest.ns * 2 + 50_000_000,
            "{} {span} {}",
            longest.name,
            longest.ns
        );
    });
}

#[test]
fn compile_phases_equal_the_compilers_own_measurement() {
    with_each_toolchain("hello", |toolchain, module| {
        let file = module.sandbox.out().join("bench");
        let flag = format!("-gcflags=-bench={}", file.display());
        let traced = module.trace(
            toolchain,
            &["go", "build", &flag, "-o", "/dev/null", "./..."],
        );
        let build = complete_build(&traced);
        let text = fs::read_to_string(&file).expect("the compiler's own measurement");
        for package in [
            "main",
            "example.com/hello/internal/page",
            "example.com/hello/internal/greet",
        ] {
            let import_path = if package == "main" {
                "example.com/hello"
            } else {
                package
            };
            let call = build
                .calls
                .iter()
                .find(|it| {
                    it.kind == CallKind::Compile
                        && !it.is_query
                        && it.package == Some(import_path.into())
                })
                .unwrap_or_else(|| panic!("no compile of {import_path}"));
            let ours: Vec<&str> = call.phases.iter().map(|it| it.name.as_str()).collect();
            let theirs = compile_bench(&text, package);
            let names: Vec<&str> = theirs.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(ours, names, "{package}");
            for (ours, theirs) in call.phases.iter().zip(&theirs) {
                let span = ours.end.expect("an end").since(ours.start);
                assert!(
                    span.abs_diff(theirs.ns) < 20_000_000 + theirs.ns / 2,
                    "{package} {}: {span} {}",
                    theirs.name,
                    theirs.ns
                );
            }
        }
    });
}
