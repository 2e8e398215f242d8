//! Properties: the linking of the file, and the parts that were included or left out.
//!
//! Each property is a fact that the file shows. `None` means that the file does not show it, which does not mean no.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Identity;
use crate::attribution::{Attributions, Content, FunctionSource, NamedItem};
use crate::container::{Container, Part, Wrapper};
use crate::image::{Format, Image, SectionClass, Shape};
use crate::package::Packages;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Linking {
    Static,
    Dynamic,
    /// Not linked yet: an object or an archive.
    Unlinked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relro {
    None,
    /// Only the data relocated at start.
    Partial,
    /// Includes the procedure table, which is then bound at start.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dwarf {
    None,
    Plain,
    Compressed,
}

/// The state of the linker's elimination of methods that are never called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MethodElimination {
    /// Methods that are never called were dropped.
    On,
    /// All exported methods were kept, because the program may look methods up by name. Only methods of types that no interface holds
    /// may be missing.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and the form is that of the JSON"
)]
pub struct Properties {
    pub linking: Linking,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Libraries that the file requests.
    pub needed: Vec<String>,
    pub position_independent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relro: Option<Relro>,
    /// True if stack and data cannot be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_execute: Option<bool>,
    /// True if there is no symbol table.
    pub stripped: bool,
    pub dwarf: Dwarf,
    /// True if C code is linked in (not merely `CGO_ENABLED=1`).
    pub cgo: bool,
    pub race: bool,
    pub msan: bool,
    pub asan: bool,
    pub cover: bool,
    pub trimpath: bool,
    /// As `-buildmode` calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_mode: Option<String>,
    /// True if the main package is a test's.
    pub is_test: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method_elimination: Option<MethodElimination>,
    /// Functions that look methods up, and so disable elimination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reflect_uses: Vec<String>,
}

/// Numbers of exported methods in the type tables, and of the dropped ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Methods {
    pub exported: usize,
    pub dropped: usize,
}

/// Fewer methods prove nothing.
const MIN_METHODS: usize = 32;

/// Functions that look methods up by names that no linker sees.
const LOOK_UP: [&str; 2] = ["text/template.(*state).evalField", "plugin.Open"];
/// Functions that such a caller needs. Since Go 1.22, a caller with a constant name keeps only methods of this name.
const MAY_LOOK_UP: [&str; 2] = ["reflect.Value.MethodByName", "reflect.Value.Method"];

/// Callers that keep all methods alive (`cmd/link/internal/ld/deadcode.go`), as far as their names remain.
const REFLECT_USES: [&[u8]; 6] = [
    b"reflect.Value.MethodByName",
    b"reflect.Value.Method",
    b"reflect.(*rtype).MethodByName",
    b"reflect.(*rtype).Method",
    b"text/template.(*state).evalField",
    b"plugin.Open",
];

/// The state of the elimination. Methods of types that no interface holds are always dropped, so a dropped method alone proves nothing.
fn elimination(methods: Methods, uses: &[String]) -> Option<MethodElimination> {
    if methods.exported < MIN_METHODS {
        return None;
    }
    let is_used = |of: &[&str]| uses.iter().any(|it| of.contains(&it.as_str()));
    if methods.dropped == 0 || is_used(&LOOK_UP) {
        Some(MethodElimination::Off)
    } else if is_used(&MAY_LOOK_UP) {
        None
    } else {
        Some(MethodElimination::On)
    }
}

pub(crate) fn of(
    container: &Container<'_>,
    primary: Option<&Part<'_>>,
    identity: &Identity,
    attributions: &Attributions<'_>,
    packages: &Packages<'_>,
) -> Properties {
    let image = primary.map(|part| &part.image);
    let setting = |key: &str| identity.setting(key);
    let is_on = |key: &str| setting(key) == Some("true");
    let linkage = image.map(|image| &image.linkage);
    let is_elf =
        image.is_some_and(|image| image.format == Format::Elf && image.shape != Shape::Relocatable);
    let relro = is_elf.then_some(match linkage {
        Some(linkage) if linkage.relro && linkage.bind_now => Relro::Full,
        Some(linkage) if linkage.relro => Relro::Partial,
        _ => Relro::None,
    });
    let mut reflect_uses: Vec<String> = Vec::new();
    for name in REFLECT_USES {
        let is_in_file =
            |named: &NamedItem<'_>| named.content == Content::Code && named.name == name;
        if attributions.names.iter().any(is_in_file) {
            reflect_uses.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    let method_elimination = elimination(attributions.methods, &reflect_uses);
    if method_elimination != Some(MethodElimination::Off) {
        reflect_uses.clear();
    }
    let has_c_code = attributions
        .names
        .iter()
        .any(|named| named.content == Content::CCode);
    let has_package = |name: &str| packages.iter().any(|package| package == name);
    Properties {
        linking: linking(container, image),
        interpreter: linkage.and_then(|linkage| linkage.interpreter.clone()),
        needed: linkage
            .map(|linkage| linkage.needed.clone())
            .unwrap_or_default(),
        position_independent: image.is_some_and(|image| image.linkage.position_independent)
            || image.is_some_and(|image| image.shape == Shape::SharedLibrary),
        relro,
        no_execute: linkage.and_then(|linkage| linkage.no_execute),
        stripped: is_stripped(container, image, attributions),
        dwarf: dwarf(image),
        cgo: attributions.is_go && (has_c_code || has_package("runtime/cgo")),
        race: is_on("-race") || has_package("runtime/race"),
        msan: is_on("-msan"),
        asan: is_on("-asan"),
        cover: is_on("-cover")
            || has_package("runtime/coverage") && has_package("internal/coverage/cfile"),
        trimpath: is_on("-trimpath"),
        build_mode: build_mode(container, image, identity, attributions),
        is_test: identity
            .path
            .as_deref()
            .is_some_and(|path| path.strip_suffix(".test").is_some()),
        method_elimination,
        reflect_uses,
    }
}

fn linking(container: &Container<'_>, image: Option<&Image<'_>>) -> Linking {
    match image {
        _ if container.wrapper == Wrapper::Archive => Linking::Unlinked,
        Some(image) if image.shape == Shape::Relocatable => Linking::Unlinked,
        // A static PIE has a dynamic section, but only the program itself reads it.
        Some(image) if image.linkage.interpreter.is_some() || !image.linkage.needed.is_empty() => {
            Linking::Dynamic
        }
        Some(image) if image.shape == Shape::SharedLibrary => Linking::Dynamic,
        _ => Linking::Static,
    }
}

fn is_stripped(
    container: &Container<'_>,
    image: Option<&Image<'_>>,
    attributions: &Attributions<'_>,
) -> bool {
    let Some(image) = image.filter(|_| container.wrapper != Wrapper::Archive) else {
        return false;
    };
    match image.format {
        Format::Wasm => image.section("name").is_none(),
        // The dynamic symbols of a library are not a symbol table.
        Format::Elf => image
            .section(".symtab")
            .is_none_or(|section| section.file.is_empty()),
        // The table remains, with little in it except imports.
        Format::Pe | Format::MachO => attributions.source != FunctionSource::SymbolTable,
    }
}

fn dwarf(image: Option<&Image<'_>>) -> Dwarf {
    let sections = image
        .map(|image| image.sections.as_slice())
        .unwrap_or_default();
    let mut debug = sections
        .iter()
        .filter(|section| section.class == SectionClass::Debug)
        .peekable();
    if debug.peek().is_none() {
        Dwarf::None
    } else if debug.any(|section| section.compression.is_some()) {
        Dwarf::Compressed
    } else {
        Dwarf::Plain
    }
}

/// The build mode. The setting states it since about 1.20; in older releases the shape of the file does.
fn build_mode(
    container: &Container<'_>,
    image: Option<&Image<'_>>,
    identity: &Identity,
    attributions: &Attributions<'_>,
) -> Option<String> {
    if let Some(mode) = identity.setting("-buildmode") {
        return Some(mode.to_owned());
    }
    if container.wrapper == Wrapper::Archive {
        return identity.path.is_some().then(|| "c-archive".to_owned());
    }
    let is_plugin = || {
        attributions.names.iter().any(|named| {
            named.name.starts_with(b"go:plugin.") || named.name.starts_with(b"go.plugin.")
        })
    };
    let mode = match image?.shape {
        Shape::Executable => "exe",
        Shape::PositionIndependent => "pie",
        Shape::SharedLibrary if is_plugin() => "plugin",
        Shape::SharedLibrary => "c-shared",
        Shape::Relocatable | Shape::Other => return None,
    };
    attributions.is_go.then(|| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_method_alone_does_not_prove_elimination() {
        let state = |exported, dropped, uses: &[&str]| {
            let uses: Vec<String> = uses.iter().map(|it| (*it).to_owned()).collect();
            elimination(Methods { exported, dropped }, &uses)
        };
        let [of_type, of_value] = ["reflect.(*rtype).Method", "reflect.Value.Method"];
        assert_eq!(state(100, 40, &[]), Some(MethodElimination::On));
        assert_eq!(state(100, 40, &[of_type]), Some(MethodElimination::On));
        assert_eq!(state(100, 40, &[of_value]), None);
        let template = [of_value, "text/template.(*state).evalField"];
        assert_eq!(state(100, 40, &template), Some(MethodElimination::Off));
        assert_eq!(state(100, 0, &[]), Some(MethodElimination::Off));
        assert_eq!(state(5, 0, &template), None);
    }
}
