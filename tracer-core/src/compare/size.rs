//! The outputs of both builds: sizes of files, sections, packages and modules.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::change::{bytes, difference, join};
use super::{BytesChange, Compared};
use crate::byte_string::ByteString;
use crate::event::{Anatomy, Artifact, PackageBytes};
use crate::finished::binaries;
use crate::price::{Missing, ModulePrice, ProgramPrice, ReflectUse};

/// The output of one main package. Of several outputs, the largest one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProgramChange {
    /// Import path of the main package.
    pub package: String,
    /// Size of the file. Absent if the build did not make it, or if it was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_bytes: Option<u64>,
    /// True if both files have the same hash.
    pub is_same: bool,
    /// The largest sections. Empty unless both files were analysed.
    pub sections: Vec<BytesChange>,
    /// Bytes of the packages in the file. Empty unless both files were analysed.
    pub packages: Vec<BytesChange>,
    /// The modules in the program. Empty unless both files were analysed.
    pub modules: Vec<ProgramModuleChange>,
    /// True if the linker dropped methods that are never called. Absent if the file does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_drops_methods: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_drops_methods: Option<bool>,
    /// The functions that can find methods by name, and that only the second program contains.
    pub new_reflect_uses: Vec<ReflectUse>,
    /// The facts that are missing about the first and the second program.
    pub before_missing: Vec<Missing>,
    pub after_missing: Vec<Missing>,
}

/// A module in a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProgramModuleChange {
    /// Path of the module; `std` for the standard library.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_version: Option<String>,
    /// Bytes of its packages in the file. Absent if the program does not contain the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_own_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_own_bytes: Option<u64>,
    /// Bytes of all packages that the program would not need without the module. Only of dependencies, with known imports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_retained_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_retained_bytes: Option<u64>,
    /// CPU time of the compilation of its packages, in this build or in an earlier one. Only of dependencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_compile_cpu_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_compile_cpu_ns: Option<u64>,
}

/// The programs of both builds, the largest difference of size first.
pub(super) fn programs(before: Compared<'_>, after: Compared<'_>) -> Vec<ProgramChange> {
    let files = [before, after].map(|it| binaries(it.build.build));
    let [first, second] = files;
    let joined = join(first, second).into_iter();
    let programs = joined.map(|(package, (first, second))| {
        let sides = [(before, first), (after, second)];
        program(
            package,
            sides.map(|(side, file)| File::of(side, package, file)),
        )
    });
    let mut programs: Vec<ProgramChange> = programs.collect();
    programs.sort_by_key(|it| Reverse(difference(it.before_bytes, it.after_bytes)));
    programs
}

/// The program of one side.
struct File<'a> {
    artifact: Option<&'a Artifact>,
    price: Option<&'a ProgramPrice>,
}

impl<'a> File<'a> {
    fn of(side: Compared<'a>, package: &str, artifact: Option<&'a Artifact>) -> Self {
        let mut prices = side.prices.programs.iter();
        let price = prices.find(|it| {
            let name = it.package.as_ref().map(ByteString::as_bytes);
            name == Some(package.as_bytes()) && Some(it.size) == artifact.map(|it| it.size)
        });
        Self { artifact, price }
    }

    fn anatomy(&self) -> Option<&'a Anatomy> {
        self.artifact?.anatomy.as_deref()
    }

    fn packages(&self) -> Option<&'a PackageBytes> {
        self.anatomy()?.packages.as_ref()
    }

    fn missing(&self) -> Vec<Missing> {
        self.price.map(|it| it.missing.clone()).unwrap_or_default()
    }

    fn reflect_uses(&self) -> &'a [ReflectUse] {
        self.price.map_or(&[], |it| &it.reflect_uses)
    }
}

fn program(package: &str, [before, after]: [File<'_>; 2]) -> ProgramChange {
    let hashes = [&before, &after].map(|it| it.artifact.map(|it| &it.sha256));
    let is_known = |it: &ReflectUse| {
        let mut known = before.reflect_uses().iter();
        known.any(|known| known.function == it.function)
    };
    let new_uses = after.reflect_uses().iter().filter(|it| !is_known(it));
    ProgramChange {
        package: package.to_owned(),
        before_bytes: before.artifact.map(|it| it.size),
        after_bytes: after.artifact.map(|it| it.size),
        is_same: hashes[0].is_some() && hashes[0] == hashes[1],
        sections: both(before.anatomy(), after.anatomy(), sections),
        packages: both(before.packages(), after.packages(), packages),
        modules: modules(&before, &after),
        before_drops_methods: before.anatomy().and_then(|it| it.drops_methods),
        after_drops_methods: after.anatomy().and_then(|it| it.drops_methods),
        new_reflect_uses: new_uses.cloned().collect(),
        before_missing: before.missing(),
        after_missing: after.missing(),
    }
}

fn both<T>(
    before: Option<&T>,
    after: Option<&T>,
    of: impl Fn(&T) -> Vec<(String, u64)>,
) -> Vec<BytesChange> {
    before
        .zip(after)
        .map_or_else(Vec::new, |(before, after)| bytes(of(before), of(after)))
}

/// Sections of one name add up.
fn sections(anatomy: &Anatomy) -> Vec<(String, u64)> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for it in &anatomy.sections {
        let size = sizes.entry(&it.name).or_default();
        *size = size.saturating_add(it.size);
    }
    let sizes = sizes.into_iter();
    sizes.map(|(name, size)| (name.to_owned(), size)).collect()
}

fn packages(packages: &PackageBytes) -> Vec<(String, u64)> {
    let list = packages.list.iter();
    list.map(|it| (it.path.clone(), it.bytes)).collect()
}

/// A module in the program of one side.
struct Module<'a> {
    version: Option<&'a String>,
    own_bytes: u64,
    price: Option<&'a ModulePrice>,
}

fn modules(before: &File<'_>, after: &File<'_>) -> Vec<ProgramModuleChange> {
    let Some((first, second)) = before.packages().zip(after.packages()) else {
        return Vec::new();
    };
    let joined = join(in_program(first, before), in_program(second, after)).into_iter();
    let differ = joined.filter(|(_, (before, after))| {
        let facts = |it: &Option<Module<'_>>| {
            let it = it.as_ref()?;
            let retained = it.price.and_then(|it| it.retained_bytes);
            Some((it.version.cloned(), it.own_bytes, retained))
        };
        facts(before) != facts(after)
    });
    let mut modules: Vec<ProgramModuleChange> = differ
        .map(|(path, (before, after))| {
            let version = |it: &Option<Module<'_>>| it.as_ref()?.version.cloned();
            let own = |it: &Option<Module<'_>>| Some(it.as_ref()?.own_bytes);
            let retained = |it: &Option<Module<'_>>| it.as_ref()?.price?.retained_bytes;
            let cpu = |it: &Option<Module<'_>>| it.as_ref()?.price?.compile_cpu_ns;
            ProgramModuleChange {
                path: path.to_owned(),
                before_version: version(&before),
                after_version: version(&after),
                before_own_bytes: own(&before),
                after_own_bytes: own(&after),
                before_retained_bytes: retained(&before),
                after_retained_bytes: retained(&after),
                before_compile_cpu_ns: cpu(&before),
                after_compile_cpu_ns: cpu(&after),
            }
        })
        .collect();
    modules.sort_by_key(|it| Reverse(difference(it.before_own_bytes, it.after_own_bytes)));
    modules
}

/// Modules by path. A program contains one version of each module.
fn in_program<'a>(packages: &'a PackageBytes, file: &File<'a>) -> BTreeMap<&'a str, Module<'a>> {
    let prices = file.price.map_or(&[][..], |it| &it.modules);
    let numbered = (0u32..).zip(&packages.modules);
    let modules = numbered.map(|(number, module)| {
        let own = packages.list.iter().filter(|it| it.module == number);
        let of_module = Module {
            version: module.version.as_ref(),
            own_bytes: own.fold(0, |sum: u64, it| sum.saturating_add(it.bytes)),
            price: prices.iter().find(|it| it.path == module.path),
        };
        (module.path.as_str(), of_module)
    });
    modules.collect()
}
