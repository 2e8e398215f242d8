//! The changes between two builds, and the inputs that must stand at the roots.

use std::fs;

use anyhow::{Context as _, Result};

use super::Bench;
use crate::shell;

pub(super) struct Change {
    pub(super) name: &'static str,
    /// Changes something.
    pub(super) make: fn(&mut Bench<'_>) -> Result<()>,
    /// Arguments and environment of the next build.
    pub(super) args: &'static [&'static str],
    pub(super) env: &'static [(&'static str, &'static str)],
    /// Each root contains one of these, in JSON; the first one must be there. Empty: nothing is built again.
    pub(super) expected: &'static [&'static str],
}

const PLAIN: Change = Change {
    name: "nothing",
    make: |_| Ok(()),
    args: &[],
    env: &[],
    expected: &[],
};
/// Packages and programs without an earlier key.
const FIRST: &str = "\"root\":\"first\"";
const SAME: &str = "\"root\":\"same_inputs\"";
const SAME_LINK: &str = "\"root\":\"same_link\"";

pub(super) const CHANGES: [Change; 13] = [
    PLAIN,
    Change {
        name: "a leaf",
        make: |it| append(it, "leaf/leaf.go", "\n// More is new.\nconst More = 1\n"),
        expected: &["leaf.go"],
        ..PLAIN
    },
    Change {
        name: "a comment in a leaf",
        make: |it| append(it, "leaf/leaf.go", "\n// A comment.\n"),
        expected: &["leaf.go"],
        ..PLAIN
    },
    Change {
        name: "the root",
        make: |it| append(it, "main.go", "\nfunc more() { println(word) }\n"),
        expected: &["main.go"],
        ..PLAIN
    },
    Change {
        name: "an embedded file",
        make: |it| append(it, "top/word.txt", "another\n"),
        expected: &["word.txt"],
        ..PLAIN
    },
    Change {
        name: "a flag",
        args: &["-gcflags=example.com/layers/...=-N"],
        expected: &["compiler_flags"],
        ..PLAIN
    },
    Change {
        name: "a variable",
        env: &[("CGO_CFLAGS", "-O1")],
        expected: &["CGO_CFLAGS"],
        ..PLAIN
    },
    Change {
        name: "go env -w GOFLAGS",
        make: |it| {
            let mut set = it
                .module
                .go(it.toolchain, &["env", "-w", "GOFLAGS=-ldflags=-s"]);
            shell::run(&mut set)
        },
        expected: &["linker_flags"],
        ..PLAIN
    },
    Change {
        name: "a tag",
        args: &["-tags=special"],
        expected: &["tagged.go", "-tags"],
        ..PLAIN
    },
    Change {
        name: "another directory",
        make: |it| {
            let other = it.module.sandbox.path().join("elsewhere");
            let mut copy = std::process::Command::new("cp");
            shell::run(copy.arg("-r").arg(&it.dir).arg(&other))?;
            it.dir = other;
            it.remove_program()
        },
        expected: &["\"directory\""],
        ..PLAIN
    },
    Change {
        name: "a deleted GOCACHE",
        make: |it| {
            it.module.sandbox.make_cold();
            it.remove_program()
        },
        // The standard library had come from the cache before.
        expected: &[SAME, SAME_LINK, FIRST],
        ..PLAIN
    },
    Change {
        name: "a trimmed entry",
        make: |it| {
            let built = it.past.values().next().context("no build")?;
            let id = built.cache_id("build example.com/layers/middle");
            let id = id.context("the key of middle was not printed")?;
            let shard = id.get(..2).context("a short ID")?;
            let entry = it
                .module
                .sandbox
                .gocache()
                .join(shard)
                .join(format!("{id}-a"));
            fs::remove_file(&entry)
                .with_context(|| format!("cannot remove {}", entry.display()))?;
            it.remove_program()
        },
        expected: &[SAME, SAME_LINK],
        ..PLAIN
    },
    Change {
        name: "another release of Go",
        make: |it| {
            it.toolchain = it.other.context("there is only one toolchain")?;
            it.module.sandbox.make_warm(it.toolchain);
            Ok(())
        },
        expected: &["\"release\""],
        ..PLAIN
    },
];

#[expect(clippy::unnecessary_wraps, reason = "other changes can fail")]
fn append(bench: &Bench<'_>, path: &str, text: &str) -> Result<()> {
    bench.module.append(path, text);
    Ok(())
}
