//! Finds installed Go toolchains, so that their tools are probed before the first build runs.
//!
//! The results are paths only; the content of a file decides what it is. A toolchain elsewhere is found when one of its tools is
//! executed.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of toolchains.
const ROOTS_MAX: usize = 64;
/// Maximum number of entries of one directory.
const ENTRIES_MAX: usize = 4096;

/// Tools with probes, below `pkg/tool/*/`.
const TOOLS: [&str; 2] = ["compile", "link"];

/// Roots, relative to `/`. A `*` matches one component, or the rest of one.
const SYSTEM_ROOTS: [&str; 8] = [
    "usr/local/go",
    "usr/local/go*",
    "usr/lib/go",
    "usr/lib/go-*",
    "usr/lib/golang",
    "opt/go*",
    "opt/hostedtoolcache/go/*/*",
    "snap/go/current",
];

/// Roots relative to a home directory: `go install golang.org/dl`, asdf, mise, goenv, gvm.
const HOME_ROOTS: [&str; 6] = [
    "sdk/go*",
    ".asdf/installs/golang/*/go",
    ".local/share/mise/installs/go/*",
    ".goenv/versions/*",
    ".gvm/gos/*",
    ".local/go",
];

/// Roots relative to a GOPATH: toolchains that `GOTOOLCHAIN` downloaded.
const GOPATH_ROOTS: [&str; 1] = ["pkg/mod/golang.org/toolchain@*"];

/// Properties of the command to run.
#[derive(Clone, Debug, Default)]
pub struct SearchHint {
    /// The path of the command's program.
    pub program: Option<PathBuf>,
    /// The command's PATH.
    pub path: Option<OsString>,
    pub home: Option<PathBuf>,
    pub goroot: Option<PathBuf>,
    pub gopath: Option<PathBuf>,
}

/// Files that may be tools, those of the likeliest toolchain first.
pub fn find(hint: &SearchHint) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    roots.extend(hint.goroot.clone());
    roots.extend(hint.program.as_deref().and_then(root_of));
    for dir in hint
        .path
        .iter()
        .flat_map(env::split_paths)
        .filter(|dir| dir.is_absolute())
    {
        for program in matching(&dir, "go*").into_iter().filter(|it| is_go(it)) {
            roots.extend(root_of(&program));
        }
    }
    roots.extend(
        SYSTEM_ROOTS
            .iter()
            .flat_map(|pattern| expand(Path::new("/"), pattern)),
    );
    if let Some(home) = &hint.home {
        roots.extend(HOME_ROOTS.iter().flat_map(|pattern| expand(home, pattern)));
    }
    let gopath = hint
        .gopath
        .clone()
        .or_else(|| hint.home.as_ref().map(|home| home.join("go")));
    for gopath in gopath.iter().flat_map(env::split_paths) {
        roots.extend(
            GOPATH_ROOTS
                .iter()
                .flat_map(|pattern| expand(&gopath, pattern)),
        );
    }
    let mut seen = BTreeSet::new();
    let real = roots
        .into_iter()
        .filter_map(|root| root.canonicalize().ok())
        .filter(|root| seen.insert(root.clone()));
    real.take(ROOTS_MAX).flat_map(|root| tools(&root)).collect()
}

/// The `go` command and the tools of one toolchain.
fn tools(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.join("bin/go")];
    for platform in expand(root, "pkg/tool/*") {
        found.extend(TOOLS.iter().map(|tool| platform.join(tool)));
    }
    found.retain(|file| file.is_file());
    found
}

/// The toolchain of a `go` command: two levels above the target of its links.
fn root_of(program: &Path) -> Option<PathBuf> {
    Some(program.canonicalize().ok()?.parent()?.parent()?.to_owned())
}

/// True for `go`, and for names as `golang.org/dl` gives them: `go1.27.3`.
fn is_go(program: &Path) -> bool {
    let name = program
        .file_name()
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    name == "go" || name.starts_with("go1.")
}

/// Directories below `base` that match a pattern.
fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut dirs = vec![base.to_owned()];
    for component in pattern.split('/') {
        dirs = dirs
            .iter()
            .flat_map(|dir| matching(dir, component))
            .filter(|it| it.is_dir())
            .take(ROOTS_MAX)
            .collect();
    }
    dirs
}

/// Entries of a directory that match a component, sorted.
fn matching(dir: &Path, component: &str) -> Vec<PathBuf> {
    let Some(prefix) = component.strip_suffix('*') else {
        return vec![dir.join(component)];
    };
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .take(ENTRIES_MAX)
        .filter_map(Result::ok)
        .filter(|it| {
            it.file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes())
        })
        .map(|it| it.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn toolchain(root: &Path) {
        for file in [
            "bin/go",
            "pkg/tool/linux_amd64/compile",
            "pkg/tool/linux_amd64/link",
            "pkg/tool/linux_amd64/asm",
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
    }

    #[test]
    fn a_go_command_leads_to_its_toolchain_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        toolchain(&base.join("real"));
        fs::create_dir_all(base.join("bin")).unwrap();
        symlink(base.join("real/bin/go"), base.join("bin/go1.27.3")).unwrap();
        let hint = SearchHint {
            path: Some(base.join("bin").into()),
            ..SearchHint::default()
        };
        let found: Vec<_> = find(&hint)
            .into_iter()
            .filter(|it| it.starts_with(&base))
            .collect();
        let expected = [
            "bin/go",
            "pkg/tool/linux_amd64/compile",
            "pkg/tool/linux_amd64/link",
        ];
        assert_eq!(found, expected.map(|it| base.join("real").join(it)));
    }

    #[test]
    fn toolchains_below_a_home_are_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        toolchain(&base.join("sdk/go1.26.6"));
        toolchain(&base.join("go/pkg/mod/golang.org/toolchain@v0.0.1-go1.27.3.linux-amd64"));
        let hint = SearchHint {
            home: Some(base.clone()),
            goroot: Some(base.join("sdk/go1.26.6")),
            ..SearchHint::default()
        };
        let found: Vec<_> = find(&hint)
            .into_iter()
            .filter(|it| it.starts_with(&base))
            .collect();
        assert_eq!(found.len(), 6);
    }
}
