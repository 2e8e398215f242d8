//! `cargo xtask bench owners`: the package of each byte by `gotrace analyze`, compared with Go's own tools on the same program.
//!
//! Programs of GOROOT are built by every release the tests use, for several targets, with symbols and without. Stripped ones are held
//! against the symbols of the same build unstripped. Only code is compared in these: a variable's name is in the symbol table alone.
//! A program of one's own is named by its folder, and is built for this machine.
//!
//! A share is the number of bytes at the right package, of all bytes that the oracle or gotrace counts. A function that several archives
//! define is right at any of their packages. Nothing is asserted.

mod compare;
mod oracle;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::compare::Verdict;
use self::oracle::Packages;
use crate::{setup, shell};

/// A target, and whether the system's compiler takes part.
#[derive(Clone, Copy, Debug)]
struct Target {
    os: &'static str,
    arch: &'static str,
    cgo: bool,
}

const fn target(os: &'static str, arch: &'static str) -> Target {
    Target {
        os,
        arch,
        cgo: false,
    }
}

const TARGETS: [Target; 6] = [
    target("linux", "amd64"),
    target("linux", "arm64"),
    target("linux", "386"),
    target("linux", "s390x"),
    target("darwin", "arm64"),
    target("windows", "amd64"),
];

/// A program to build.
#[derive(Clone, Copy, Debug)]
struct Program<'p> {
    name: &'p str,
    package: &'p str,
    /// Where it is built, for one that is not in GOROOT.
    dir: Option<&'p Path>,
}

/// 5 MB of code, a sixth of it in packages from outside of the standard library.
const SMALL: Program<'_> = Program {
    name: "pprof",
    package: "cmd/pprof",
    dir: None,
};

/// Built for this machine alone.
const LARGE: [Program<'_>; 2] = [
    Program {
        name: "go",
        package: "cmd/go",
        dir: None,
    },
    Program {
        name: "compile",
        package: "cmd/compile",
        dir: None,
    },
];

#[derive(Clone, Copy, Debug)]
struct Build<'p> {
    program: Program<'p>,
    version: &'p str,
    target: Target,
    place: &'p Path,
}

impl Build<'_> {
    /// A `go` command for it. Nothing is downloaded, and the caller's settings do not count.
    fn go(&self, go: &Path) -> Command {
        let mut command = Command::new(go);
        command
            .env("GOENV", "off")
            .env("GOFLAGS", "")
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local")
            .env(
                "GOCACHE",
                self.place.join(format!("cache-{}", self.version)),
            )
            .env("GOOS", self.target.os)
            .env("GOARCH", self.target.arch)
            .env("CGO_ENABLED", if self.target.cgo { "1" } else { "0" })
            .current_dir(self.program.dir.unwrap_or(self.place));
        command
    }

    fn make(&self, go: &Path, form: &str, flags: &[&str]) -> Result<PathBuf> {
        let Target { os, arch, cgo } = self.target;
        let cgo = if cgo { "-cgo" } else { "" };
        let name = format!(
            "{}-{}-{os}-{arch}{cgo}-{form}",
            self.program.name, self.version
        );
        let file = self.place.join(name);
        let mut command = self.go(go);
        command.arg("build").args(flags).arg("-o").arg(&file);
        shell::read(command.arg(self.program.package))?;
        Ok(file)
    }
}

pub(crate) fn run(minors: &[String], targets: &[String], dirs: &[PathBuf]) -> Result<()> {
    let gotrace = shell::gotrace()?;
    let place = shell::target().join("bench-owners");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let releases = releases(minors)?;
    let own = dirs
        .iter()
        .map(|dir| own(dir))
        .collect::<Result<Vec<_>>>()?;
    println!(
        "{:<9} {:<8} {:<17} {:<9} {:>8} {:>8} {:>12}  worst package",
        "program", "Go", "target", "form", "code", "data", "unattributed"
    );
    let compare = |program, (version, go): &(String, PathBuf), target| {
        let build = Build {
            program,
            version,
            target,
            place: &place,
        };
        compare(&gotrace, go, &build).with_context(|| format!("{} of Go {version}", program.name))
    };
    let host = host();
    let is_meant = |target: &Target| {
        let name = format!("{}/{}", target.os, target.arch);
        targets.is_empty() || targets.contains(&name)
    };
    if dirs.is_empty() {
        for release in &releases {
            for target in TARGETS.into_iter().filter(is_meant) {
                compare(SMALL, release, target)?;
            }
            if is_meant(&host) {
                compare(SMALL, release, Target { cgo: true, ..host })?;
                for program in LARGE {
                    compare(program, release, host)?;
                }
            }
        }
    }
    for (dir, name) in &own {
        let program = Program {
            name,
            package: ".",
            dir: Some(dir),
        };
        for release in &releases {
            compare(program, release, host)?;
        }
    }
    Ok(())
}

/// Where a program of one's own is, and its name.
fn own(dir: &Path) -> Result<(PathBuf, String)> {
    let dir = fs::canonicalize(dir).with_context(|| format!("cannot find {}", dir.display()))?;
    let name = dir.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    Ok((dir, name))
}

/// The releases of these minor versions, or all. Debian's is the oldest, where it is installed.
fn releases(minors: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let is_meant = |version: &str| {
        let is_of = |minor: &String| {
            let rest = version.strip_prefix(minor.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        minors.is_empty() || minors.iter().any(is_of)
    };
    let mut releases = Vec::new();
    let debian = Path::new("/usr/lib/go-1.19/bin/go");
    if is_meant("1.19.") && debian.is_file() {
        releases.push(("1.19".to_owned(), debian.to_owned()));
    }
    for version in tests::OFFICIAL_VERSIONS {
        if is_meant(version) {
            releases.push(((*version).to_owned(), setup::go(version)?));
        }
    }
    Ok(releases)
}

fn host() -> Target {
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    target("linux", arch)
}

fn compare(gotrace: &Path, go: &Path, build: &Build<'_>) -> Result<()> {
    let whole = build.make(go, "whole", &[])?;
    let stripped = build.make(go, "stripped", &["-ldflags=-s -w"])?;
    let packages = Packages::of(go, build)?;
    let text = oracle::nm(go, build, &[&whole])?;
    let symbols: Vec<_> = oracle::symbols(&text).collect();
    for (form, file) in [("whole", whole), ("stripped", stripped)] {
        let mut analyze = Command::new(gotrace);
        analyze.args(["analyze", "--format", "json", "--min-symbol", "0"]);
        let analysis = shell::read(analyze.arg(&file))?;
        let analysis: Value =
            serde_json::from_str(&analysis).context("gotrace printed what is not JSON")?;
        let verdict = Verdict::of(&analysis, &symbols, &packages);
        let Target { os, arch, cgo } = build.target;
        println!(
            "{:<9} {:<8} {:<17} {form:<9} {verdict}",
            build.program.name,
            build.version,
            format!("{os}/{arch}{}", if cgo { " cgo" } else { "" }),
        );
    }
    Ok(())
}
