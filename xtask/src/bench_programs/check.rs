//! Compares gotrace's result for one program with independent facts.

use std::collections::BTreeSet;

use serde_json::Value;

/// The result of the checks.
#[derive(Debug, PartialEq)]
pub(super) struct Checked {
    n_modules: usize,
    /// Modules that only gotrace or only Go names, in words.
    pub(super) other_modules: Vec<String>,
    /// True if groups, contents and buckets each add up to the size of the file, and modules to the packages.
    pub(super) adds_up: bool,
    /// Findings of dense bytes.
    pub(super) dense: Vec<String>,
    /// In per cent of the file.
    pub(super) unattributed: f64,
}

/// A role, a path, a version and a checksum, as `go version -m` prints them: `dep golang.org/x/sys v0.1.0 h1:...`.
type Modules = BTreeSet<String>;

impl Checked {
    /// `stated` is what `go version -m` printed.
    pub(super) fn of(analysis: &Value, stated: &str) -> Self {
        let (ours, theirs) = (named(&analysis["identity"]), printed(stated));
        let only = |a: &Modules, b: &Modules, whose: &str| -> Vec<String> {
            let only = a.difference(b);
            only.map(|it| format!("only {whose} names {it}")).collect()
        };
        let mut other_modules = only(&ours, &theirs, "gotrace");
        other_modules.extend(only(&theirs, &ours, "go"));
        other_modules.extend(unstated(analysis, &ours));
        let findings = rows(&analysis["findings"]).filter(|it| it["kind"] == "dense");
        let dense = findings.map(|it| text(&it["text"]).to_owned());
        Self {
            n_modules: theirs.len(),
            other_modules,
            adds_up: adds_up(analysis),
            dense: dense.collect(),
            unattributed: unattributed(analysis),
        }
    }

    /// One word or two for a table.
    pub(super) fn modules(&self) -> String {
        match (self.n_modules, self.other_modules.len()) {
            (0, 0) => "none stated".to_owned(),
            (n, 0) => format!("{n} equal"),
            (_, n) => format!("{n} differ"),
        }
    }
}

/// Modules of the build information as gotrace gives them.
fn named(identity: &Value) -> Modules {
    let mut modules = Modules::new();
    let main = Some(&identity["main"]).filter(|main| main.is_object());
    let dependencies = rows(&identity["deps"]).map(|module| ("dep", module));
    for (role, module) in main
        .map(|module| ("mod", module))
        .into_iter()
        .chain(dependencies)
    {
        let mut line = format!("{role} {}", module_line(module));
        if module["replace"].is_object() {
            line.push_str(" => ");
            line.push_str(&module_line(&module["replace"]));
        }
        modules.insert(line);
    }
    modules
}

fn module_line(module: &Value) -> String {
    let fields = ["path", "version", "sum"].map(|field| text(&module[field]));
    fields.join(" ").trim_end().to_owned()
}

/// The same from the output of `go version -m`. A line `=>` replaces the module of the line before.
fn printed(stated: &str) -> Modules {
    let mut lines: Vec<String> = Vec::new();
    for line in stated.lines() {
        let fields: Vec<_> = line.trim_end().split('\t').collect();
        match *fields.as_slice() {
            ["", role @ ("mod" | "dep"), ref module @ ..] => {
                lines.push(format!("{role} {}", module.join(" ")));
            }
            ["", "=>", ref module @ ..] => {
                if let Some(last) = lines.last_mut() {
                    // A replaced module has no checksum of its own.
                    last.push_str(" => ");
                    last.push_str(&module.join(" "));
                }
            }
            _ => {}
        }
    }
    lines.into_iter().collect()
}

/// Modules with bytes that are called stated, and are not among those of the build information.
fn unstated(analysis: &Value, stated: &Modules) -> Vec<String> {
    let paths: BTreeSet<_> = stated
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let is_stated = |module: &&Value| {
        let path = text(&module["path"]);
        let is_of_go = matches!(path, "std" | "cmd");
        module["is_guess"] == true || is_of_go || paths.contains(path)
    };
    let others = rows(&analysis["modules"]).filter(|module| !is_stated(module));
    others
        .map(|module| {
            format!(
                "the build information does not name {}",
                text(&module["path"])
            )
        })
        .collect()
}

fn adds_up(analysis: &Value) -> bool {
    let sum = |table: &str, field: &str| -> u64 {
        rows(&analysis[table]).map(|row| number(&row[field])).sum()
    };
    let size = number(&analysis["size"]);
    let whole = ["groups", "contents", "buckets"];
    let in_packages = sum("contents", "in_packages");
    whole.into_iter().all(|table| sum(table, "bytes") == size)
        && sum("modules", "bytes") == in_packages
        && sum("packages", "bytes") == in_packages
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file's size is far below 2^52"
)]
fn unattributed(analysis: &Value) -> f64 {
    let mut contents = rows(&analysis["contents"]);
    let bytes = contents
        .find(|row| row["content"] == "unattributed")
        .map_or(0, |row| number(&row["bytes"]));
    bytes as f64 / number(&analysis["size"]) as f64 * 100.0
}

fn rows(rows: &Value) -> impl Iterator<Item = &Value> {
    rows.as_array().into_iter().flatten()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STATED: &str = "app: go1.27.3\n\tpath\texample.com/app\n\tmod\texample.com/app\t(devel)\t\n\
                          \tdep\ta.example/x\tv1.0.0\th1:a=\n\tdep\tb.example/y\tv1.0.0\n\t=>\t./y\t(devel)\t\n\
                          \tbuild\t-compiler=gc\n";

    fn analysis() -> Value {
        json!({
            "size": 100,
            "identity": {
                "main": {"path": "example.com/app", "version": "(devel)"},
                "deps": [
                    {"path": "a.example/x", "version": "v1.0.0", "sum": "h1:a="},
                    {"path": "b.example/y", "version": "v1.0.0", "replace": {"path": "./y", "version": "(devel)"}},
                ],
            },
            "groups": [{"bytes": 60}, {"bytes": 40}],
            "contents": [
                {"content": "code", "bytes": 75, "in_packages": 70},
                {"content": "unattributed", "bytes": 25, "in_packages": 0},
            ],
            "buckets": [{"bytes": 100}],
            "modules": [{"path": "example.com/app", "bytes": 60}, {"path": "std", "bytes": 10}],
            "packages": [{"bytes": 70}],
            "findings": [{"kind": "not_go", "text": "x"}],
        })
    }

    #[test]
    fn equal_modules_and_sums_are_equal() {
        let checked = Checked::of(&analysis(), STATED);
        assert_eq!(
            checked,
            Checked {
                n_modules: 3,
                other_modules: Vec::new(),
                adds_up: true,
                dense: Vec::new(),
                unattributed: 25.0,
            }
        );
        assert_eq!(checked.modules(), "3 equal");
    }

    #[test]
    fn what_differs_is_named() {
        let mut analysis = analysis();
        analysis["identity"]["deps"][0]["version"] = json!("v1.0.1");
        analysis["modules"][1]["path"] = json!("c.example/z");
        analysis["packages"][0]["bytes"] = json!(69);
        analysis["findings"] = json!([{"kind": "dense", "text": "64.0 kB of .data"}]);
        let checked = Checked::of(&analysis, STATED);
        assert_eq!(
            checked.other_modules,
            [
                "only gotrace names dep a.example/x v1.0.1 h1:a=",
                "only go names dep a.example/x v1.0.0 h1:a=",
                "the build information does not name c.example/z",
            ]
        );
        assert!(!checked.adds_up);
        assert_eq!(checked.dense, ["64.0 kB of .data"]);
        assert_eq!(checked.modules(), "3 differ");
    }

    #[test]
    fn a_program_without_modules_states_none() {
        let nothing = json!({"size": 1});
        assert_eq!(
            Checked::of(&nothing, "app: go1.19\n").modules(),
            "none stated"
        );
    }
}
