//! Makes the file system of a guest: a shell, gotrace, Go toolchains with a compiled standard library, and a module to build.
//!
//! A toolchain has the same path as on the host, because the build cache contains this path.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tests::Toolchain;

use super::cpio::Archive;
use crate::shell;

/// The module to build in the guest.
const MODULE: [(&str, &str); 3] = [
    ("go.mod", "module example.test/hello\n\ngo 1.19\n"),
    (
        "main.go",
        "package main\n\nimport \"example.test/hello/greet\"\n\nfunc main() { println(greet.Word()) }\n",
    ),
    (
        "greet/greet.go",
        "package greet\n\n// Word is the output of main.\nfunc Word() string { return \"hello\" }\n",
    ),
];

/// A program that needs the same part of the standard library as the module.
const SEED: [(&str, &str); 2] = [
    ("go.mod", "module example.test/seed\n\ngo 1.19\n"),
    ("main.go", "package main\n\nfunc main() {}\n"),
];

/// Tools that a build of pure Go starts.
const TOOLS: [&str; 3] = ["compile", "link", "asm"];

/// The archive from which all guests start.
pub(super) fn build(gotrace: &Path, toolchains: &[Toolchain], home: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.device(Path::new("/dev/console"), (5, 1))?;
    archive.file(Path::new("/init"), 0o755, include_bytes!("init.sh"))?;
    archive.copy(Path::new("/bin/busybox"), Path::new("/bin/busybox"))?;
    let usage = shell::target().join("debug/examples/usage");
    for (from, name) in [(gotrace, "gotrace"), (usage.as_path(), "usage")] {
        let stripped = stripped(from, &home.join(name))?;
        program(&mut archive, &stripped, &Path::new("/bin").join(name))?;
    }
    let setpriv = shell::find("setpriv").context("no setpriv, which util-linux has")?;
    // Not in `/bin`, where the shell has a limited version with the same name.
    program(&mut archive, &setpriv, Path::new("/usr/bin/setpriv"))?;
    for (name, text) in MODULE {
        archive.file(
            &Path::new("/build/hello").join(name),
            0o644,
            text.as_bytes(),
        )?;
    }
    for toolchain in toolchains {
        add_toolchain(&mut archive, toolchain, home)
            .with_context(|| format!("cannot add Go {}", toolchain.version))?;
    }
    let roots: Vec<String> = toolchains
        .iter()
        .map(|it| format!("{}\n", it.goroot.display()))
        .collect();
    archive.file(Path::new("/toolchains"), 0o644, roots.concat().as_bytes())?;
    archive.finish()
}

/// Strips the debug information, which is most of a development build.
fn stripped(from: &Path, to: &Path) -> Result<PathBuf> {
    shell::run(Command::new("strip").arg("-o").arg(to).arg(from))?;
    Ok(to.to_owned())
}

/// Adds a program, and its shared libraries under their own paths.
fn program(archive: &mut Archive, from: &Path, to: &Path) -> Result<()> {
    archive.copy(from, to)?;
    // Lines such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`; the loader has no name before its path.
    let libraries = shell::read(Command::new("ldd").arg(from))?;
    let paths = libraries
        .split_ascii_whitespace()
        .filter(|it| it.starts_with('/'));
    for path in paths {
        let path = Path::new(path);
        archive.copy(path, path)?;
    }
    Ok(())
}

fn add_toolchain(archive: &mut Archive, toolchain: &Toolchain, home: &Path) -> Result<()> {
    let root = &toolchain.goroot;
    let work = home.join("seed");
    for (name, text) in SEED {
        write(&work.join(name), text)?;
    }
    let cache = home.join(format!("cache-{}", toolchain.version));
    let go = |args: &[&str]| {
        let mut command = Command::new(&toolchain.go);
        command.args(args).current_dir(&work);
        environment(&mut command, toolchain, &cache);
        command
    };
    shell::run(go(&["build", "-o", "seed"]).arg("."))?;
    let printed = shell::read(&mut go(&[
        "list",
        "-deps",
        "-f",
        "{{.Dir}}\t{{.Target}}",
        "runtime",
    ]))?;

    for file in ["VERSION", "go.env", "bin/go"] {
        let path = root.join(file);
        if path.exists() {
            archive.copy(&path, &path)?;
        }
    }
    for tool in TOOLS {
        let path = toolchain.tool(tool);
        archive.copy(&path, &path)?;
    }
    let mut files = BTreeSet::new();
    for line in printed.lines() {
        let (dir, compiled) = line.split_once('\t').unwrap_or((line, ""));
        files.extend(
            super::cpio::children(Path::new(dir))?
                .into_iter()
                .filter(|it| it.is_file() && !it.to_string_lossy().ends_with("_test.go")),
        );
        // Up to Go 1.20, a release contains the compiled standard library.
        files.extend(Some(PathBuf::from(compiled)).filter(|it| it.is_file()));
    }
    for path in files {
        archive.copy(&path, &path)?;
    }
    archive.tree_at(&cache, &PathBuf::from(format!("{}.cache", root.display())))
}

/// Settings of a build in the guest, which `init.sh` repeats.
fn environment(command: &mut Command, toolchain: &Toolchain, cache: &Path) {
    command
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("HOME", cache)
        .env("GOROOT", &toolchain.goroot)
        .env("GOCACHE", cache)
        .env("GOENV", "off")
        .env("GOFLAGS", "")
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOTELEMETRY", "off")
        .env("CGO_ENABLED", "0");
}

fn write(path: &Path, text: &str) -> Result<()> {
    let printed = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(printed)?;
    fs::write(path, text).with_context(printed)
}
