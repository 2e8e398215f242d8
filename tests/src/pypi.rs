//! Packages from the Python Package Index. `cargo xtask setup` installs them beside the toolchains.

use std::path::PathBuf;

use crate::toolchain::toolchain_dir;

/// Packages and versions: an OTLP receiver, the official Python package of OTLP messages, Helm as a library, and Kubernetes'
/// schemas.
pub const PYPI_PACKAGES: &[&str] = &[
    "rotel==0.0.1a15",
    "opentelemetry-proto==1.45.2",
    "protobuf==7.36.2",
    "typing_extensions==4.16.0",
    "helm-sdkpy==0.1.32",
    "kubernetes-validate==1.37.0",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "referencing==0.37.0",
    "rpds-py==2026.9.1",
    "attrs==26.1.0",
    "importlib_resources==7.1.0",
    "packaging==26.3",
    "PyYAML==6.0.3",
];

/// Path of the packages. The name changes with the versions.
pub fn pypi_dir() -> PathBuf {
    let versions: Vec<&str> = PYPI_PACKAGES
        .iter()
        .filter_map(|it| it.split_once("==").map(|(_, version)| version))
        .collect();
    toolchain_dir().join("pypi").join(versions.join("-"))
}

/// The interpreter for which they were installed.
///
/// # Panics
///
/// If they are not installed.
pub fn pypi_python() -> PathBuf {
    let python = pypi_dir().join("python3");
    assert!(
        python.exists(),
        "no packages of PyPI in {}: run `cargo xtask setup`, which installs {PYPI_PACKAGES:?}",
        pypi_dir().display()
    );
    python
}

/// Helm as a shared library.
pub fn helm_library() -> PathBuf {
    let machine = match std::env::consts::ARCH {
        "aarch64" => "linux-arm64",
        _ => "linux-amd64",
    };
    pypi_dir()
        .join("helm_sdkpy/_lib")
        .join(machine)
        .join("libhelm_sdkpy.so")
}
