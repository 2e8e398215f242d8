//! Cache keys of real `go test` runs. The value of a variable that a test reads stays in the kernel. All other keys are present by
//! name, and a digest shows whether the value changed. The keys of cached packages give the import graph. Needs root.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tests::oracle::go_list_imports;
use tests::traced::trace;
use tests::{Module, Toolchain, gotrace, toolchain, with_each_toolchain};
use tracer_core::model::Build;

const VARIABLE: &str = "MY_BUILD_NOTE";

/// The recorded cache keys.
struct Recorded {
    text: String,
    /// Names of the opened keys.
    names: BTreeSet<String>,
    /// Digests of the variable's value.
    digests: BTreeSet<String>,
}

impl Recorded {
    fn read(path: &Path) -> Self {
        let unpacked = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
        assert!(unpacked.status.success(), "{unpacked:?}");
        let text = String::from_utf8(unpacked.stdout).unwrap();
        let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
        let begin = format!("env {VARIABLE} ");
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let point = &event["point"];
            if let Some(name) = point["name"]["whole"].as_str()
                && point["point"] == "key_open"
            {
                names.insert(name.to_owned());
            }
            if let Some(line) = point["line"]["whole"].as_str()
                && let Some(digest) = line.trim_end().strip_prefix(&begin)
            {
                digests.insert(digest.to_owned());
            }
            assert_ne!(event["event"], "lost", "{line}");
        }
        Self {
            text,
            names,
            digests,
        }
    }
}

/// Runs `go test` under `gotrace record`, with `state` as `/var/lib`, which contains the secret key of the digests.
fn record(module: &Module, toolchain: &Toolchain, state: &Path, value: &str) -> Recorded {
    let recording = state.join("recording.jsonl.gz");
    let as_given = module.gotrace(toolchain, &[]);
    let env = as_given
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let script = "mount --bind \"$1\" /var/lib && shift && exec \"$@\"";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(state)
        .arg(gotrace())
        .args(["record", "-o"])
        .arg(&recording)
        .arg("--")
        .arg(&toolchain.go)
        .args(["test", "."])
        .current_dir(module.dir())
        .env_clear()
        .envs(env)
        .env(VARIABLE, value)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Recorded::read(&recording)
}

/// Names of the keys of the same command, as Go itself prints them.
fn names_by_go(module: &Module, toolchain: &Toolchain, value: &str) -> (Output, BTreeSet<String>) {
    let output = module
        .go(toolchain, &["test", "."])
        .env("GODEBUG", "gocachehash=1")
        .env(VARIABLE, value)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stderr);
    let names = printed.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("HASH[")?.split_once(']')?;
        rest.is_empty().then(|| name.to_owned())
    });
    let names = names.collect();
    (output, names)
}

#[test]
fn the_value_of_a_variable_that_a_test_reads_stays_in_the_kernel() {
    with_each_toolchain("tiny", |toolchain, module| {
        module.write(
            "note_test.go",
            &format!(
                "package main\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n\
                 func TestNote(t *testing.T) {{ _ = os.Getenv(\"{VARIABLE}\") }}\n"
            ),
        );
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("gotrace")).unwrap();
        let [one, other] = ["valueOfTheVariable4711", "anotherValue0815"];
        let record = |value| record(module, toolchain, state.path(), value);
        // Go reads the variable after a first run has shown that the test reads it.
        module
            .go(toolchain, &["test", "."])
            .env(VARIABLE, one)
            .output()
            .unwrap();
        let (printed, names) = names_by_go(module, toolchain, one);
        assert!(
            String::from_utf8_lossy(&printed.stderr).contains(one),
            "Go hashes the value"
        );
        assert!(
            names.contains("getenv") && names.contains("testInputs"),
            "{names:?}"
        );
        let [first, again, changed] = [one, one, other].map(record);
        for recorded in [&first, &again, &changed] {
            for secret in [one, other, "\"getenv\""] {
                assert!(!recorded.text.contains(secret), "{secret}");
            }
            assert_eq!(recorded.digests.len(), 1, "{:?}", recorded.digests);
        }
        let mut without = names;
        without.remove("getenv");
        // A key of a list of files, which is no key of an action.
        without.remove("moduleIndex");
        assert_eq!(first.names, without, "all other keys are recorded");
        assert_eq!(first.digests, again.digests, "the value is the same");
        assert_ne!(first.digests, changed.digests, "the value changed");
        // Go prints an unsalted hash of the value, which confirms a guessed value.
        let of_go = String::from_utf8_lossy(&printed.stderr).into_owned();
        let hash = of_go.lines().find_map(|line| {
            let (_, hash) = line.split_once(&format!("env {VARIABLE} "))?;
            hash.get(..32)
        });
        let hash = hash.unwrap_or_else(|| panic!("no hash in {of_go}"));
        for recorded in [&first, &again, &changed] {
            assert!(!recorded.text.contains(hash));
        }
    });
}

/// The imports of all packages of a build, by name.
fn imports(build: &Build) -> BTreeMap<String, BTreeSet<String>> {
    let graph = build.imports.as_ref().expect("the build has keys");
    let name = |it: &u32| graph.packages[*it as usize].to_string();
    let rows = graph.packages.iter().zip(&graph.imports);
    let rows = rows.map(|(package, imports)| {
        let imports = imports.as_ref();
        let imports = imports.unwrap_or_else(|| panic!("{package}: not known"));
        (package.to_string(), imports.iter().map(name).collect())
    });
    rows.collect()
}

/// Imports that `go` adds and `go list` does not print: `LinkerDeps` for a main package, and `load` for a package with cgo.
const ADDED: [&str; 4] = ["runtime", "runtime/cgo", "syscall", "unsafe"];

#[test]
fn the_import_graph_contains_cached_packages() {
    for version in ["1.19", "1.27"] {
        let toolchain = toolchain(version);
        let module = Module::copy("hello");
        module.sandbox.make_warm(&toolchain);
        let test = "package main_test\n\nimport (\n\t\"net\"\n\t\"testing\"\n)\n\n\
                    func TestNet(t *testing.T) { _ = net.IPv4zero }\n";
        module.write("net_test.go", test);
        module.write("own_test.go", "package main\n\nfunc init() { _ = main }\n");
        let expected = go_list_imports(&module, &toolchain, &["."]);
        // The second time, only the test runs.
        for is_cold in [true, false] {
            let mut gotrace = module.gotrace(&toolchain, &["run", "--detail", "cache-key"]);
            let command = ["go", "test", "-count=1", "."];
            let traced = trace(&mut gotrace, &command, &module.sandbox.out());
            traced.assert_success().assert_complete();
            let build = traced.build();
            assert_eq!(build.packages.compiled > 0, is_cold, "{:?}", build.packages);
            let mut found = imports(build);
            for (package, imports) in &mut found {
                let listed = expected.get(package);
                let listed = listed.unwrap_or_else(|| panic!("go list does not print {package}"));
                imports.retain(|it| listed.contains(it) || !ADDED.contains(&it.as_str()));
                assert_eq!(imports, listed, "{package} with Go {version}");
            }
            let missing: Vec<&String> = expected
                .keys()
                .filter(|it| !found.contains_key(*it))
                .collect();
            assert_eq!(
                missing,
                ["example.com/hello"],
                "only its test variant is built"
            );
        }
    }
}
