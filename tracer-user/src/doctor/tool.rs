//! Finds the toolchains of this machine, and checks which probes are possible in each tool.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tracer_core::event::{Refusal, Role};

use super::{Check, Verdict};
use crate::bpf::Tracer;
use crate::inspect;
use crate::toolchain::{self, Candidate, Guard, Probes, SearchHint};

/// Tools of one version in one directory.
#[derive(Clone, Debug, Serialize)]
pub struct Toolchain {
    pub version: String,
    /// The common directory of its tools: a GOROOT, or the directory of a single tool.
    pub place: PathBuf,
    pub tools: Vec<Tool>,
}

/// One program of a toolchain.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    pub role: Role,
    pub path: PathBuf,
    /// Probes with a known place.
    pub probes: Vec<String>,
    pub refused: Vec<Refusal>,
    /// True if the kernel accepted all probes; absent if nothing can be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_attached: Option<bool>,
    /// Protection against writers while the tool is probed; absent without probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

impl Toolchain {
    pub(super) fn verdict(&self) -> Verdict {
        let is_limited = self
            .tools
            .iter()
            .any(|tool| !tool.refused.is_empty() || tool.is_attached == Some(false));
        if is_limited {
            Verdict::Limited
        } else {
            Verdict::Fine
        }
    }
}

/// Finds toolchains, and resolves probes in their tools.
pub(super) fn toolchains(hint: &SearchHint) -> Vec<Toolchain> {
    let mut found: BTreeMap<(PathBuf, String), Vec<Tool>> = BTreeMap::new();
    for path in toolchain::find(hint) {
        let Ok(file) = inspect::open_program(&path) else {
            continue;
        };
        let Some(identity) = toolchain::identify(&file) else {
            continue;
        };
        let resolved = toolchain::resolve(&file, &identity);
        let tool = Tool {
            role: identity.role,
            probes: resolved
                .probes
                .iter()
                .map(|probe| probe.name.clone())
                .collect(),
            refused: resolved.refused,
            is_attached: None,
            guard: None,
            path: path.clone(),
        };
        found
            .entry((root(&path), identity.version))
            .or_default()
            .push(tool);
    }
    found
        .into_iter()
        .map(|((place, version), tools)| Toolchain {
            version,
            place,
            tools,
        })
        .collect()
}

/// `GOROOT/bin/go` and `GOROOT/pkg/tool/OS_ARCH/compile` both lie in GOROOT.
fn root(path: &Path) -> PathBuf {
    let dir = path.parent().unwrap_or(path);
    let tools = dir
        .parent()
        .filter(|parent| parent.ends_with("pkg/tool"))
        .and_then(|tools| tools.ancestors().nth(2));
    let root = tools.or_else(|| dir.parent().filter(|_| dir.ends_with("bin")));
    root.unwrap_or(dir).to_owned()
}

/// Attaches the probes, to check whether the kernel accepts them. They are detached with the tracer.
pub(super) fn try_probes(tracer: &mut Tracer, toolchains: &mut [Toolchain]) {
    let mut probes = Probes::new();
    for tool in toolchains
        .iter_mut()
        .flat_map(|toolchain| &mut toolchain.tools)
    {
        let attached = inspect::open_program(&tool.path)
            .ok()
            .and_then(|file: File| Candidate::examine(file, &tool.path))
            .map(|it| probes.probe(tracer, it));
        tool.guard = attached
            .as_ref()
            .and_then(|attached| probes.guard(attached.file));
        tool.is_attached =
            Some(attached.is_some_and(|attached| attached.attached.len() == tool.probes.len()));
    }
}

/// Checks that there is a toolchain.
pub(super) fn check(toolchains: &[Toolchain]) -> Check {
    const NAME: &str = "toolchains";
    match toolchains.len() {
        // gotrace finds each toolchain when it first runs, so tracing does not need this one.
        0 => Check {
            advice: Some(
                "put go in PATH or set GOROOT to check the probes of a toolchain".to_owned(),
            ),
            ..Check::fine(
                NAME,
                "no Go toolchain in the usual places; gotrace finds one when a build first runs it",
            )
        },
        1 => Check::fine(NAME, "1 found"),
        n => Check::fine(NAME, format!("{n} found")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_of_one_goroot_belong_together() {
        for path in [
            "/usr/lib/go/bin/go",
            "/usr/lib/go/pkg/tool/linux_amd64/compile",
        ] {
            assert_eq!(root(Path::new(path)), Path::new("/usr/lib/go"));
        }
    }

    #[test]
    fn a_single_tool_belongs_to_its_directory() {
        assert_eq!(root(Path::new("/opt/x/compile")), Path::new("/opt/x"));
        assert_eq!(root(Path::new("compile")), Path::new(""));
    }
}
