//! Builds of a large module that exists on paper only, with cache keys: for `cargo xtask bench explain --scale`.
//!
//! The packages form layers of a hundred; each imports eight of the layer below. A build changes one package. A package that was built
//! again because of an import mostly has the same content as before, as after a change of a function's body. In one build of a hundred,
//! and in the last one, all packages of the lowest layer change: every package is built again.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tracer_core::byte_string::ByteString;
use tracer_core::event::Ktime;
use tracer_core::model::{Action, ActionKey, Build, CallKind, KeyKind, Outcome, ToolCall, Trace};

const MODULE: &str = "example.com/large";
const LAYER: usize = 100;
const N_IMPORTS: usize = 8;
const N_FILES: usize = 4;
/// One build in `WIDE` changes the lowest layer.
const WIDE: usize = 100;
/// One content in `CUT_OFF` changes after a change of an import.
const CUT_OFF: u64 = 12;

/// The state of the module's sources.
pub(crate) struct LargeModule {
    /// Number of changes of the sources of each package.
    sources: Vec<u64>,
    /// Number of changes of the compiled content of each package.
    contents: Vec<u64>,
}

impl LargeModule {
    pub(crate) fn new(n_packages: usize) -> Self {
        Self {
            sources: vec![0; n_packages],
            contents: vec![0; n_packages],
        }
    }

    /// Builds everything.
    pub(crate) fn first_build(&self, template: &Trace) -> Option<Trace> {
        self.build(template, &(0..self.sources.len()).collect())
    }

    /// Changes a package and builds the module. `n` selects the package.
    pub(crate) fn next_build(
        &mut self,
        template: &Trace,
        n: usize,
        is_wide: bool,
    ) -> Option<Trace> {
        let n_packages = self.sources.len();
        let is_wide = is_wide || n.is_multiple_of(WIDE);
        let mut changed: BTreeSet<usize> = if is_wide {
            (0..LAYER.min(n_packages)).collect()
        } else {
            let package = usize::try_from(number(&format!("change {n}"))).unwrap_or(0);
            BTreeSet::from([package % n_packages])
        };
        for package in &changed {
            *self.sources.get_mut(*package)? += 1;
            *self.contents.get_mut(*package)? += 1;
        }
        let mut executed = changed.clone();
        for importer in 0..n_packages {
            if !imports(importer).any(|it| changed.contains(&it)) {
                continue;
            }
            executed.insert(importer);
            let is_new = number(&format!("content {n} {importer}")).is_multiple_of(CUT_OFF);
            if is_wide || is_new {
                *self.contents.get_mut(importer)? += 1;
                changed.insert(importer);
            }
        }
        self.build(template, &executed)
    }

    /// A build that executes the actions of these packages, and the link.
    fn build(&self, template: &Trace, executed: &BTreeSet<usize>) -> Option<Trace> {
        let first = template.builds.first()?;
        let compile = first.calls.iter().find(|it| it.kind == CallKind::Compile)?;
        let link = first.calls.iter().find(|it| it.kind == CallKind::Link)?;
        let mut build = Build {
            module: Some(MODULE.to_owned()),
            dir: Some("/src/large".into()),
            actions: Vec::new(),
            calls: Vec::new(),
            keys: Vec::new(),
            ..first.clone()
        };
        for package in executed {
            let lines = self.lines_of_build(*package);
            add(&mut build, KeyKind::Build, &path(*package), lines, compile);
        }
        add(
            &mut build,
            KeyKind::Link,
            MODULE,
            self.lines_of_link(),
            link,
        );
        Some(Trace {
            builds: vec![build],
            ..template.clone()
        })
    }

    fn lines_of_build(&self, package: usize) -> Vec<String> {
        let path = path(package);
        let mut lines = vec![
            "go1.27.3".to_owned(),
            "compile\n".to_owned(),
            format!("dir /src/large/p{package}\n"),
            "go 1.27\n".to_owned(),
            "goos linux goarch amd64\n".to_owned(),
            format!("import \"{path}\"\n"),
            "omitdebug false standard false local false prefix \"\"\n".to_owned(),
            "compile compile version go1.27.3 [] []\n".to_owned(),
            "GOAMD64=v1\n".to_owned(),
        ];
        for file in 0..N_FILES {
            // A change is one of the first file.
            let version = self.sources.get(package).filter(|_| file == 0);
            let hash = hash(&format!("{path} {file} {version:?}"));
            lines.push(format!("file file{file}.go {hash}\n"));
        }
        lines.extend(imports(package).map(|it| format!("import {}\n", self.content(it, " "))));
        lines
    }

    fn lines_of_link(&self) -> Vec<String> {
        let mut lines = vec![
            "go1.27.3".to_owned(),
            "link\n".to_owned(),
            "buildmode exe goos linux goarch amd64\n".to_owned(),
            format!("import \"{MODULE}\"\n"),
            "omitdebug false standard false local false prefix \"\"\n".to_owned(),
            "link link version go1.27.3\n".to_owned(),
            "GOAMD64=v1\n".to_owned(),
        ];
        let packages = 0..self.sources.len();
        lines.extend(packages.map(|it| format!("packagefile {}\n", self.content(it, "="))));
        lines
    }

    /// Path and content ID.
    fn content(&self, package: usize, between: &str) -> String {
        let path = path(package);
        let hash = hash(&format!("{path} {:?}", self.contents.get(package)));
        format!("{path}{between}{hash}")
    }
}

fn add(build: &mut Build, kind: KeyKind, package: &str, lines: Vec<String>, call: &ToolCall) {
    let index = u32::try_from(build.actions.len()).unwrap_or(u32::MAX);
    build.calls.push(ToolCall {
        package: Some(package.into()),
        ..call.clone()
    });
    build.actions.push(Action {
        mode: kind.name().to_owned(),
        package: Some(package.into()),
        start: Ktime(build.start.0 + u64::from(index)),
        end: build.end,
        outcome: Outcome::Executed,
        calls: vec![index],
    });
    build.keys.push(ActionKey {
        kind,
        package: package.into(),
        action: index,
        id: Some(hash(&lines.concat())),
        lines: lines.into_iter().map(ByteString::from).collect(),
        cut: Vec::new(),
        has_gaps: false,
    });
}

fn path(package: usize) -> String {
    format!("{MODULE}/internal/layer{}/p{package}", package / LAYER)
}

/// Imported packages.
fn imports(package: usize) -> impl Iterator<Item = usize> {
    let below = (package / LAYER).checked_sub(1);
    let first = below.map(|it| it * LAYER);
    let steps = (0..N_IMPORTS).map(move |n| (package * 7 + n * 13) % LAYER);
    steps.filter_map(move |it| Some(first? + it))
}

/// 120 bits in base64, as Go prints them.
fn hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.get(..15).unwrap_or_default())
}

fn number(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}
