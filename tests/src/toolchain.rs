//! The Go toolchains of the tests: Debian's stripped Go 1.19 and an official release of each later version.
//!
//! This module finds them; `cargo xtask setup` installs them from the same list.

use std::env;
use std::path::{Path, PathBuf};

/// The official releases, one of each minor version, oldest first.
pub const OFFICIAL_VERSIONS: &[&str] = &[
    "1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3",
];

/// Directory of Debian's Go. Its tools have no symbol table.
const DEBIAN_GOROOT: &str = "/usr/lib/go-1.19";

/// A Go toolchain on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Version without the prefix `go`: `1.24.11`.
    pub version: String,
    pub goroot: PathBuf,
    /// The `go` command.
    pub go: PathBuf,
}

impl Toolchain {
    /// The minor version: 24 for 1.24.11.
    ///
    /// # Panics
    ///
    /// If the version is not one.
    pub fn minor(&self) -> u32 {
        let minor = self
            .version
            .split('.')
            .nth(1)
            .and_then(|it| it.parse().ok());
        minor.unwrap_or_else(|| panic!("`{}` is not a Go version", self.version))
    }

    /// A tool that `go` starts: `compile`, `link`, ...
    pub fn tool(&self, name: &str) -> PathBuf {
        let platform = format!("{}_{}", goos(), goarch());
        self.goroot.join("pkg/tool").join(platform).join(name)
    }
}

/// Every toolchain, oldest first.
///
/// # Panics
///
/// If one is not installed.
pub fn toolchains() -> Vec<Toolchain> {
    std::iter::once(debian())
        .chain(OFFICIAL_VERSIONS.iter().map(|it| official(it)))
        .collect()
}

/// The toolchain of a minor version, like `1.24`.
///
/// # Panics
///
/// If the tests do not use that version, or it is not installed.
pub fn toolchain(minor: &str) -> Toolchain {
    if minor == "1.19" {
        return debian();
    }
    let is_of_minor = |it: &&&str| it.rsplit_once('.').is_some_and(|(most, _)| most == minor);
    match OFFICIAL_VERSIONS.iter().find(is_of_minor) {
        Some(version) => official(version),
        None => panic!("the tests use no Go {minor}: 1.19 and {OFFICIAL_VERSIONS:?}"),
    }
}

/// Directory of the official toolchains, each in a directory such as `go1.24.11`: `GOTRACE_TOOLCHAINS`, or under the target
/// directory.
pub fn toolchain_dir() -> PathBuf {
    env::var_os("GOTRACE_TOOLCHAINS").map_or_else(|| target_dir().join("toolchains"), PathBuf::from)
}

/// Directory of cargo's build results.
pub fn target_dir() -> PathBuf {
    if let Some(dir) = env::var_os("CARGO_TARGET_DIR") {
        return PathBuf::from(dir);
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).join("target")
}

fn debian() -> Toolchain {
    let version = Path::new(DEBIAN_GOROOT).join("VERSION");
    let Ok(text) = std::fs::read_to_string(&version) else {
        panic!("no Go in {DEBIAN_GOROOT}: run `cargo xtask setup`, which installs golang-1.19-go");
    };
    let version = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("go")
        .to_owned();
    Toolchain {
        version,
        goroot: DEBIAN_GOROOT.into(),
        go: Path::new(DEBIAN_GOROOT).join("bin/go"),
    }
}

fn official(version: &str) -> Toolchain {
    let goroot = toolchain_dir().join(format!("go{version}"));
    let go = goroot.join("bin/go");
    assert!(
        go.is_file(),
        "no Go {version} in {}: run `cargo xtask setup`, which installs it, or set GOTRACE_TOOLCHAINS",
        goroot.display()
    );
    Toolchain {
        version: version.to_owned(),
        goroot,
        go,
    }
}

/// Go's name of this machine's operating system.
fn goos() -> &'static str {
    env::consts::OS
}

/// Go's name of this machine's architecture.
fn goarch() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
