//! Picks the committed BPF object for the target, and refuses one that was not made from the sources beside it.
//!
//! Nothing is compiled for BPF here: that takes a toolchain that few have (`cargo xtask bpf`).

#[path = "../tracer-ebpf/prebuilt/digest.rs"]
mod digest;
#[path = "build/version.rs"]
mod version;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    version::describe()?;
    let workspace = Path::new(&env::var("CARGO_MANIFEST_DIR")?)
        .join("..")
        .canonicalize()?;
    let prebuilt = workspace.join("tracer-ebpf/prebuilt");
    println!("cargo::rerun-if-changed={}", prebuilt.display());
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(prebuilt.join("MANIFEST.json"))?)?;

    // A package that holds only the object has nothing to compare it with.
    if workspace.join("tracer-ebpf/src").is_dir() {
        for source in digest::SOURCES.iter().chain(["Cargo.lock"].iter()) {
            println!(
                "cargo::rerun-if-changed={}",
                workspace.join(source).display()
            );
        }
        if manifest["sources"] != digest::of_sources(&workspace)?.as_str() {
            println!(
                "cargo::error=the BPF objects in tracer-ebpf/prebuilt were not built from these sources; run `cargo xtask bpf` \
                 and commit them"
            );
            return Ok(());
        }
    }

    println!("cargo::rerun-if-env-changed=GOTRACE_KERNEL_LOG_OBJECT");
    if env::var_os("CARGO_FEATURE_KERNEL_LOG").is_some() {
        let Ok(object) = env::var("GOTRACE_KERNEL_LOG_OBJECT") else {
            println!(
                "cargo::error=the feature kernel-log takes an object that is not committed; run `cargo xtask kernel-log`"
            );
            return Ok(());
        };
        println!("cargo::rerun-if-changed={object}");
        embed(Path::new(&object), &digest::sha256(&fs::read(&object)?));
        return Ok(());
    }

    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let Some(wanted) = manifest["objects"][&arch].as_str() else {
        println!(
            "cargo::error=gotrace has no BPF object for {arch}: it traces on x86_64 and aarch64"
        );
        return Ok(());
    };
    let object = prebuilt.join(format!("gotrace.{arch}.bpf.o"));
    let found = digest::sha256(&fs::read(&object)?);
    if found != wanted {
        println!(
            "cargo::error={} is not the file that MANIFEST.json names; run `cargo xtask bpf`",
            object.display()
        );
    }
    embed(&object, &found);
    Ok(())
}

fn embed(object: &Path, sha256: &str) {
    println!("cargo::rustc-env=GOTRACE_BPF_OBJECT={}", object.display());
    println!("cargo::rustc-env=GOTRACE_BPF_SHA256={sha256}");
}
