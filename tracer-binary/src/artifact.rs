//! The identity of a file: no sizes, no hashes, a fraction of a millisecond.
//!
//! [`identify`] is for callers that saw a file being built and need its kind. `analyze` computes the rest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::container::{Container, Part, Wrapper};
use crate::go::buildid::{self, BuildId};
use crate::go::buildinfo::{self, BuildInfo, Module, Setting};
use crate::image::{Format, Shape};
use crate::{container, limit};

/// The container of the code.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Elf,
    Pe,
    MachO,
    /// A Mach-O file for several machines.
    FatMachO,
    Wasm,
    /// An `ar` archive with object files, as `-buildmode=c-archive` writes it.
    Archive,
    /// The compiler's output for one package.
    PackageArchive,
    Unknown,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Elf => "ELF",
            Self::Pe => "PE",
            Self::MachO => "Mach-O",
            Self::FatMachO => "fat Mach-O",
            Self::Wasm => "wasm",
            Self::Archive => "archive",
            Self::PackageArchive => "package archive",
            Self::Unknown => "unknown",
        }
    }
}

/// The identity that a file states. Empty fields mean that the file does not state them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goos: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goarch: Option<String>,
    /// As `go version` prints it: `go1.27.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go_version: Option<String>,
    /// Import path of the main package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<Module>,
    pub deps: Vec<Module>,
    pub settings: Vec<Setting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<BuildId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gnu_build_id: Option<String>,
    /// Mach-O's `LC_UUID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl Identity {
    /// True if anything in the file states that Go made it.
    pub fn is_go(&self) -> bool {
        self.go_version.is_some() || self.build_id.is_some()
    }

    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|setting| setting.key == key)
            .map(|setting| setting.value.as_str())
    }
}

/// Reads the identity. Never fails: unreadable facts are absent, and a file of an unknown kind is [`Kind::Unknown`].
pub fn identify(bytes: &[u8]) -> Identity {
    container::open(bytes).map_or_else(|_| unknown(), |container| of_container(bytes, &container))
}

fn unknown() -> Identity {
    Identity {
        kind: Kind::Unknown,
        shape: None,
        goos: None,
        goarch: None,
        go_version: None,
        path: None,
        main: None,
        deps: Vec::new(),
        settings: Vec::new(),
        build_id: None,
        gnu_build_id: None,
        uuid: None,
    }
}

pub(crate) fn of_container(bytes: &[u8], container: &Container<'_>) -> Identity {
    let mut identity = unknown();
    identity.kind = match container.wrapper {
        Wrapper::Fat => Kind::FatMachO,
        Wrapper::Archive => Kind::Archive,
        Wrapper::None => match container.parts.first().map(|part| part.image.format) {
            Some(Format::Elf) => Kind::Elf,
            Some(Format::Pe) => Kind::Pe,
            Some(Format::MachO) => Kind::MachO,
            Some(Format::Wasm) => Kind::Wasm,
            None => Kind::Unknown,
        },
    };
    // In an archive one member holds the Go code. In a fat file all machines have the same information.
    let with_info = container
        .parts
        .iter()
        .find_map(|part| Some((part, buildinfo::read(&part.image)?)));
    let part = with_info
        .as_ref()
        .map(|(part, _)| *part)
        .or(container.parts.first());
    if let Some(part) = part {
        identity.shape = Some(part.image.shape);
        identity.goos = part.image.goos.map(str::to_owned);
        identity.goarch = Some(part.image.goarch.to_owned());
        identity.build_id = buildid::read(&part.image);
        identity
            .gnu_build_id
            .clone_from(&part.image.linkage.gnu_build_id);
        identity.uuid.clone_from(&part.image.linkage.uuid);
    }
    if let Some((_, info)) = with_info {
        let BuildInfo {
            go_version,
            path,
            main,
            deps,
            settings,
        } = info;
        identity.go_version = Some(go_version);
        identity.path = path;
        identity.main = main;
        identity.deps = deps;
        identity.settings = settings;
        for (key, field) in [("GOOS", 0), ("GOARCH", 1)] {
            let value = identity.setting(key).map(str::to_owned);
            let field = if field == 0 {
                &mut identity.goos
            } else {
                &mut identity.goarch
            };
            if value.is_some() {
                *field = value;
            }
        }
    } else if container.wrapper == Wrapper::Archive {
        package(bytes, container, &mut identity);
    }
    identity
}

/// The part with build information. In an archive one member holds the Go code; in a fat file all machines have the
/// same information.
fn with_info<'c, 'a>(container: &'c Container<'a>) -> Option<(&'c Part<'a>, BuildInfo)> {
    container
        .parts
        .iter()
        .find_map(|part| Some((part, buildinfo::read(&part.image)?)))
}

/// The part whose facts stand for the whole file.
pub(crate) fn primary<'c, 'a>(container: &'c Container<'a>) -> Option<&'c Part<'a>> {
    with_info(container)
        .map(|(part, _)| part)
        .or(container.parts.first())
}

/// Reads a package archive. The compiler's own object format begins with a line of words: `go object GOOS GOARCH
/// VERSION ...`.
fn package(bytes: &[u8], container: &Container<'_>, identity: &mut Identity) {
    let Some(member) = container
        .members
        .iter()
        .find(|member| member.name == "__.PKGDEF")
    else {
        return;
    };
    let definition = bytes.get(member.file.clone()).unwrap_or_default();
    let head = definition.get(..limit::NAME).unwrap_or(definition);
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    if (words.next(), words.next()) != (Some("go"), Some("object")) {
        return;
    }
    identity.kind = Kind::PackageArchive;
    identity.goos = words.next().map(str::to_owned);
    identity.goarch = words.next().map(str::to_owned);
    identity.go_version = words.next().map(str::to_owned);
    for experiment in words.filter_map(|word| word.split_once('=')) {
        identity.settings.push(Setting {
            key: experiment.0.to_owned(),
            value: experiment.1.to_owned(),
        });
    }
    identity.build_id = buildid::from_package(definition);
}
