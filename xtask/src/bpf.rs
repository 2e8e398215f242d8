//! `cargo xtask bpf`: builds the committed BPF objects from `tracer-ebpf`, or compares them with a rebuild.
//!
//! The build is reproducible on every machine: compiler and linker are pinned, and paths in debug information are replaced. Missing
//! tools are installed: the sources of Rust's core library through rustup, LLVM through apt, the linker under the target directory.

#[path = "../../tracer-ebpf/prebuilt/digest.rs"]
mod digest;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::shell;

const ARCHES: [&str; 2] = ["x86_64", "aarch64"];

/// Uses the same LLVM as the pinned compiler, because only the same or a later LLVM can read its bitcode.
const LINKER_VERSION: &str = "0.13.0";
const LLVM: &str = "/usr/lib/llvm-22";
const LLVM_PACKAGES: [&str; 2] = ["llvm-22-dev", "libpolly-22-dev"];

/// Content of `tracer-ebpf/prebuilt/MANIFEST.json`.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// Digest of the sources and of the versions of their dependencies.
    sources: String,
    rustc: String,
    bpf_linker: String,
    /// SHA-256 of each object, by architecture.
    objects: BTreeMap<String, String>,
}

/// Builds both objects and writes them to `prebuilt/`. With `check`, only compares them with the committed ones.
pub(crate) fn bpf(check: bool) -> Result<()> {
    let sources =
        digest::of_sources(shell::root()).context("cannot read the sources of the BPF object")?;
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(error) if check => return check_digest(&sources, &error),
        Err(error) => return Err(error),
    };
    let mut objects = BTreeMap::new();
    for arch in ARCHES {
        let built = tools.build(arch, Logging::None)?;
        let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        objects.insert(arch.to_owned(), bytes);
    }
    let manifest = Manifest {
        sources,
        rustc: shell::read(
            Command::new("rustc")
                .arg("--version")
                .current_dir(shell::root()),
        )?
        .trim()
        .to_owned(),
        bpf_linker: format!("bpf-linker {LINKER_VERSION}"),
        objects: objects
            .iter()
            .map(|(arch, bytes)| (arch.clone(), digest::sha256(bytes)))
            .collect(),
    };
    if check {
        compare(&manifest, &objects)
    } else {
        write(&manifest, &objects)
    }
}

/// Returns whether the tools to build the objects are installed, or can be installed.
pub(crate) fn can_build() -> bool {
    Tools::find().is_ok()
}

/// Builds the object that logs, for this machine, and returns its path. The object is never committed.
pub(crate) fn with_logging() -> Result<PathBuf> {
    Tools::find()?.build(env::consts::ARCH, Logging::All)
}

fn write(manifest: &Manifest, objects: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    for (arch, bytes) in objects {
        fs::write(object(arch), bytes)
            .with_context(|| format!("cannot write {}", object(arch).display()))?;
        println!("{}: {} bytes", object(arch).display(), bytes.len());
    }
    let text = serde_json::to_string_pretty(manifest)? + "\n";
    fs::write(manifest_path(), text)
        .with_context(|| format!("cannot write {}", manifest_path().display()))
}

fn compare(built: &Manifest, objects: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    for (arch, bytes) in objects {
        let committed = fs::read(object(arch))
            .with_context(|| format!("cannot read {}", object(arch).display()))?;
        if committed != *bytes {
            bail!(
                "{} differs from a rebuild of its sources: run `cargo xtask bpf` and commit the result",
                object(arch).display()
            );
        }
    }
    if read_manifest()? != *built {
        bail!(
            "{} does not match the rebuild: run `cargo xtask bpf` and commit the result",
            manifest_path().display()
        );
    }
    println!("rebuilt both BPF objects: they equal the committed ones byte for byte");
    Ok(())
}

/// Compares only the digest of the sources, on machines that cannot rebuild the objects.
fn check_digest(sources: &str, reason: &anyhow::Error) -> Result<()> {
    if read_manifest()?.sources != sources {
        bail!(
            "the BPF objects are older than their sources: run `cargo xtask bpf` and commit the result"
        );
    }
    println!(
        "cannot rebuild the BPF objects here ({reason:#}); compared only the digest of their sources, which matches"
    );
    Ok(())
}

fn read_manifest() -> Result<Manifest> {
    let text = fs::read_to_string(manifest_path())
        .with_context(|| format!("cannot read {}", manifest_path().display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("cannot parse {}", manifest_path().display()))
}

fn manifest_path() -> PathBuf {
    shell::root().join("tracer-ebpf/prebuilt/MANIFEST.json")
}

fn object(arch: &str) -> PathBuf {
    shell::root().join(format!("tracer-ebpf/prebuilt/gotrace.{arch}.bpf.o"))
}

/// Selects an object with or without logging.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logging {
    None,
    All,
}

/// Tools for BPF beyond a plain Rust toolchain.
struct Tools {
    sysroot: PathBuf,
    linker_dir: PathBuf,
}

impl Tools {
    /// Finds or installs the tools.
    fn find() -> Result<Self> {
        let sysroot = shell::read(
            Command::new("rustc")
                .args(["--print", "sysroot"])
                .current_dir(shell::root()),
        )?;
        let sysroot = PathBuf::from(sysroot.trim());
        if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
            shell::run(
                Command::new("rustup")
                    .args(["component", "add", "rust-src"])
                    .current_dir(shell::root()),
            )
            .context("cannot find the sources of Rust's core library: install rust-src")?;
        }
        if !Path::new(LLVM).join("lib/libLLVM.so").exists()
            || !Path::new(LLVM).join("bin/llvm-strip").exists()
        {
            install_llvm()?;
        }
        let tools = shell::target().join("tools");
        let linker_dir = tools.join("bin");
        if !is_linker(&linker_dir.join("bpf-linker")) {
            install_linker(&tools)?;
        }
        Ok(Self {
            sysroot,
            linker_dir,
        })
    }

    /// Builds the object for the registers of `arch`, with BTF and without debug information, and returns its path.
    fn build(&self, arch: &str, logging: Logging) -> Result<PathBuf> {
        // Both objects share a folder: the flags below do not affect code for the host, which is therefore built once.
        let target = shell::target().join("bpf");
        let mut path = vec![self.linker_dir.clone()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut cargo = shell::cargo();
        // Settings of an outer build must not change the bytes.
        for name in [
            "RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
        ] {
            cargo.env_remove(name);
        }
        for setting in [
            "debug=2",
            "strip=false",
            "opt-level=3",
            "codegen-units=1",
            "lto=false",
            "incremental=false",
        ] {
            cargo.args(["--config", &format!("profile.release.{setting}")]);
        }
        cargo
            .args([
                "build",
                "--locked",
                "--release",
                "--package",
                "tracer-ebpf",
                "--bins",
            ])
            .args([
                "--target",
                "bpfel-unknown-none",
                "-Z",
                "build-std=core",
                "--target-dir",
            ])
            .arg(&target)
            .env("PATH", env::join_paths(path)?)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(arch)?)
            // Only `-Z build-std` would need a nightly compiler.
            .env("RUSTC_BOOTSTRAP", "1");
        let name = match logging {
            Logging::None => format!("gotrace.{arch}.bpf.o"),
            Logging::All => {
                cargo.args(["--features", "log"]);
                format!("gotrace.{arch}.log.bpf.o")
            }
        };
        shell::run(&mut cargo)?;
        let built = target.join("bpfel-unknown-none/release/gotrace");
        let stripped = target.join(name);
        shell::run(
            Command::new(Path::new(LLVM).join("bin/llvm-strip"))
                .arg("-g")
                .arg("-o")
                .arg(&stripped)
                .arg(&built),
        )?;
        Ok(stripped)
    }

    fn flags(&self, arch: &str) -> Result<String> {
        // A toolchain directory can be a link; the compiler prints either name.
        let real = self
            .sysroot
            .canonicalize()
            .with_context(|| format!("cannot find {}", self.sysroot.display()))?;
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(env::home_dir()?.join(".cargo")));
        let home = home.context("neither CARGO_HOME nor HOME is set")?;
        let mut flags = vec![
            format!("--cfg=bpf_target_arch=\"{arch}\""),
            "-Clink-arg=--btf".to_owned(),
        ];
        for (from, to) in [
            (&*self.sysroot, "/rustc"),
            (&real, "/rustc"),
            (&home, "/cargo"),
            (shell::root(), "/gotrace"),
        ] {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        Ok(flags.join("\x1f"))
    }
}

fn is_linker(linker: &Path) -> bool {
    shell::read(Command::new(linker).arg("--version"))
        .is_ok_and(|printed| printed.trim().ends_with(LINKER_VERSION))
}

fn install_llvm() -> Result<()> {
    if shell::find("apt-get").is_none() {
        bail!(
            "cannot install LLVM 22: no apt-get here; install {} by other means",
            LLVM_PACKAGES.join(" and ")
        );
    }
    shell::run(shell::as_root("apt-get")?.args(["update", "--quiet"]))?;
    let install = [
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
    ];
    shell::run(shell::as_root("env")?.args(install).args(LLVM_PACKAGES))
}

/// Installs from source, because Debian has no package. The linker's build script finds LLVM by `llvm-config`, but does not pass
/// the directory of LLVM's shared library to rustc. Debian keeps that library outside the usual directories.
fn install_linker(to: &Path) -> Result<()> {
    let mut install = shell::cargo();
    install
        .args([
            "install",
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
            "--no-default-features",
            "--features",
            "llvm-22",
        ])
        .arg("--root")
        .arg(to)
        .arg("--target-dir")
        .arg(to.join("build"))
        .env("LLVM_PREFIX", LLVM)
        .env("RUSTFLAGS", format!("-L native={LLVM}/lib"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    shell::run(&mut install)?;
    fs::remove_dir_all(to.join("build")).context("cannot remove the build files of bpf-linker")
}
