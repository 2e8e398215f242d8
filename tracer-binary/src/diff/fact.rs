//! Values that changed: identity, properties, settings, dependencies.

use std::collections::BTreeMap;

use super::Fact;
use crate::go::buildinfo::Module;
use crate::snapshot::Snapshot;

pub(super) fn facts(before: &Snapshot, after: &Snapshot) -> Vec<Fact> {
    changed(words(before), words(after))
}

pub(super) fn dependencies(before: &Snapshot, after: &Snapshot) -> Vec<Fact> {
    let side = |side: &Snapshot| {
        side.identity
            .deps
            .iter()
            .map(|dep| (dep.path.clone(), version(dep)))
            .collect::<BTreeMap<_, _>>()
    };
    changed(side(before), side(after))
}

fn version(module: &Module) -> String {
    match &module.replace {
        None => module.version.clone(),
        Some(by) if by.version.is_empty() => format!("{} => {}", module.version, by.path),
        Some(by) => format!("{} => {} {}", module.version, by.path, by.version),
    }
}

/// The values that a file states, one word each. Values that the file does not state are absent.
fn words(side: &Snapshot) -> BTreeMap<String, String> {
    let identity = &side.identity;
    let mut words = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.insert(name.to_owned(), value);
        }
    };
    put("kind", Some(identity.kind.name().to_owned()));
    put("goos", identity.goos.clone());
    put("goarch", identity.goarch.clone());
    put("go version", identity.go_version.clone());
    put("main package", identity.path.clone());
    put(
        "main module",
        identity
            .main
            .as_ref()
            .map(|module| format!("{} {}", module.path, version(module))),
    );
    // The JSON of the properties already has a name for each, and printable lists.
    if let Ok(serde_json::Value::Object(properties)) = serde_json::to_value(&side.properties) {
        for (name, value) in properties {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            put(&name.replace('_', " "), Some(text));
        }
    }
    for setting in &identity.settings {
        put(&setting.key, Some(setting.value.clone()));
    }
    words
}

fn changed(mut before: BTreeMap<String, String>, after: BTreeMap<String, String>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (name, after) in after {
        let before = before.remove(&name);
        if before.as_ref() != Some(&after) {
            facts.push(Fact {
                name,
                before,
                after: Some(after),
            });
        }
    }
    facts.extend(before.into_iter().map(|(name, before)| Fact {
        name,
        before: Some(before),
        after: None,
    }));
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    facts
}
