//! Compares the identity from `go version -m` with the one from `gotrace analyze`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tests::{Module, Toolchain};

/// A module in the form of a line of `go version -m`: path, version, sum.
type ModuleLine = [String; 3];

/// All facts of a file that `go version -m` prints.
#[derive(Debug, Default, PartialEq)]
struct Identity {
    go_version: String,
    path: String,
    main: ModuleLine,
    /// Dependencies, each with its replacement.
    deps: Vec<(ModuleLine, Option<ModuleLine>)>,
    settings: BTreeMap<String, String>,
}

pub(crate) fn assert_equals_go_version(
    analysis: &Value,
    file: &Path,
    module: &Module,
    toolchain: &Toolchain,
) {
    let printed = module.run_go(toolchain, &["version", "-m", file.to_str().unwrap()]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(
        by_gotrace(&analysis["identity"]),
        by_go(&printed),
        "{}",
        file.display()
    );
}

fn by_go(printed: &str) -> Identity {
    let mut lines = printed.lines();
    let mut identity = Identity {
        go_version: lines
            .next()
            .unwrap()
            .rsplit_once(": ")
            .unwrap()
            .1
            .to_owned(),
        ..Identity::default()
    };
    let module = |words: &[&str]| {
        let word = |at: usize| (*words.get(at).unwrap_or(&"")).to_owned();
        [word(0), word(1), word(2)]
    };
    for line in lines {
        let words: Vec<_> = line.trim_start_matches('\t').split('\t').collect();
        match words.as_slice() {
            ["path", path] => identity.path = (*path).to_owned(),
            ["mod", words @ ..] => identity.main = module(words),
            ["dep", words @ ..] => identity.deps.push((module(words), None)),
            ["=>", words @ ..] => identity.deps.last_mut().unwrap().1 = Some(module(words)),
            ["build", setting] => {
                let (key, value) = setting.split_once('=').unwrap();
                // The settings here contain no characters that need escapes inside the quotes.
                let value = value.trim_matches('"').to_owned();
                identity.settings.insert(key.to_owned(), value);
            }
            [""] => {}
            _ => panic!("unexpected line of `go version -m`: `{line}`"),
        }
    }
    identity
}

fn by_gotrace(identity: &Value) -> Identity {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let module = |it: &Value| [text(&it["path"]), text(&it["version"]), text(&it["sum"])];
    let rows = |name: &str| identity[name].as_array().unwrap().clone();
    Identity {
        go_version: text(&identity["go_version"]),
        path: text(&identity["path"]),
        main: module(&identity["main"]),
        deps: rows("deps")
            .iter()
            .map(|it| (module(it), it.get("replace").map(module)))
            .collect(),
        settings: rows("settings")
            .iter()
            .map(|it| (text(&it["key"]), text(&it["value"])))
            .collect(),
    }
}
