//! The price of the modules in a program: bytes, compilation and link.
//!
//! The input is a build with the analysis of its outputs and its import graph; the output is plain data. *Own* bytes are those of the
//! module's packages in the file. *Retained* bytes are those of all packages that the program would no longer need without the module. A
//! part that the build does not show is absent, never zero.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::byte_string::ByteString;
use crate::event::{Anatomy, PackageBytes, ProgramModule};
use crate::explain::Unit;
use crate::finished::FinishedBuild;
use crate::history::BuildId;
use crate::import_graph::ImportGraph;
use crate::model::{Build, KeyKind, Outcome, Output};

/// The name of the main package in a program.
const MAIN: &str = "main";

/// CPU time of the last execution of packages that came from the build cache, by package.
pub type EarlierCpu = BTreeMap<ByteString, u64>;

/// From the last successful run of each unit: its build and CPU time.
pub fn earlier_cpu(build: &Build, runs: &BTreeMap<Unit, (BuildId, u64)>) -> EarlierCpu {
    let cached = build.actions.iter().filter(|it| {
        it.outcome == Outcome::Cached && KeyKind::of_mode(&it.mode) == Some(KeyKind::Build)
    });
    let packages = cached.filter_map(|it| {
        let package = it.package.as_ref()?;
        let (_, cpu_ns) = runs.get(&Unit::of_action(build, KeyKind::Build, package))?;
        Some((package.clone(), *cpu_ns))
    });
    packages.collect()
}

/// The prices of the modules in the programs of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Prices {
    /// The programs that the build made or found up to date.
    pub programs: Vec<ProgramPrice>,
}

/// The prices of the modules in one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProgramPrice {
    pub path: ByteString,
    /// Import path of the main package.
    pub package: Option<ByteString>,
    /// Bytes of the file.
    pub size: u64,
    /// CPU time of the link. Absent if the build did not link the program.
    pub link_cpu_ns: Option<u64>,
    /// True if the linker dropped methods that are never called. Absent if the file does not show it.
    pub drops_methods: Option<bool>,
    /// If it dropped none: the functions that can find methods by name.
    pub reflect_uses: Vec<ReflectUse>,
    /// The dependencies, most retained bytes first.
    pub modules: Vec<ModulePrice>,
    /// The missing facts.
    pub missing: Vec<Missing>,
}

/// A function because of which the linker keeps all exported methods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReflectUse {
    pub function: String,
    /// A shortest chain of imports from the main package to the function's package. Absent if it is not known, and for `reflect` itself,
    /// whose callers the file does not show.
    pub chain: Option<Vec<ByteString>>,
}

/// The price of one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModulePrice {
    pub path: String,
    pub version: Option<String>,
    /// Its packages that the program needs; those with bytes in the file if the import graph is not known.
    pub packages: u64,
    /// Bytes of its packages in the file.
    pub own_bytes: u64,
    /// Their functions that run when the program starts. Absent in older analyses.
    pub init_functions: Option<u64>,
    /// Bytes of all packages that the program would not need without the module. Absent if the imports are not known.
    pub retained_bytes: Option<u64>,
    /// An estimate of the bytes by which the file would shrink: `retained_bytes`, with the same share of debug information, symbol table and
    /// other parts without a package.
    pub retained_file_bytes: Option<u64>,
    /// The number of these packages.
    pub retained_packages: Option<u64>,
    /// CPU time of the compilation of these packages, as `compile_cpu_ns`.
    pub retained_compile_cpu_ns: Option<u64>,
    /// CPU time of the compilation of its packages: in this build, or when they were last compiled in the history. Absent if it is not
    /// known for any.
    pub compile_cpu_ns: Option<u64>,
    /// Packages whose time is not part of `compile_cpu_ns`, because it is not known.
    pub packages_without_cpu: u64,
    /// An estimate: the CPU time of the link, divided by bytes.
    pub link_cpu_ns: Option<u64>,
    /// A shortest chain of imports from the main package to the module.
    pub chain: Option<Vec<ByteString>>,
}

/// A fact that a price needs and the build does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The output was not analysed, or an earlier gotrace analysed it.
    Packages,
    /// The program has more packages than gotrace stores.
    SomePackages,
    /// The build has no cache keys, and so no import graph.
    Imports,
    /// The graph contains no package with the name of the main package.
    MainPackage,
    /// Lines of keys were lost, so the imports of a package are not known.
    SomeImports,
}

/// The prices of the modules in each program of a build.
pub fn prices(build: FinishedBuild<'_>, earlier: &EarlierCpu) -> Prices {
    let graph = ImportGraph::of(build.build);
    let cpu = Cpu::of(build, earlier);
    let outputs = build.build.outputs.iter();
    let prices = outputs.filter_map(|output| {
        let artifact = output.artifact.as_ref()?;
        // A C header or an archive is no program.
        artifact.main_package.as_ref()?;
        let anatomy = artifact.anatomy.as_deref();
        let mut price = ProgramPrice {
            path: output.path.clone(),
            package: output.package.clone(),
            size: artifact.size,
            link_cpu_ns: link_cpu(build, output),
            drops_methods: anatomy.and_then(|it| it.drops_methods),
            reflect_uses: Vec::new(),
            modules: Vec::new(),
            missing: Vec::new(),
        };
        match anatomy.and_then(|it| Some((it, it.packages.as_ref()?))) {
            None => price.missing.push(Missing::Packages),
            Some((anatomy, packages)) => fill(&mut price, anatomy, packages, graph.as_ref(), &cpu),
        }
        Some(price)
    });
    Prices {
        programs: prices.collect(),
    }
}

fn link_cpu(build: FinishedBuild<'_>, output: &Output) -> Option<u64> {
    let package = output.package.as_ref()?;
    let mut links = build.report.links.iter();
    let link = links.find(|it| it.package.as_ref() == Some(package) && !it.failed)?;
    Some(link.cpu_ns)
}

/// CPU times of compilations by package.
struct Cpu<'a> {
    own: BTreeMap<&'a ByteString, u64>,
    earlier: &'a EarlierCpu,
}

impl<'a> Cpu<'a> {
    fn of(build: FinishedBuild<'a>, earlier: &'a EarlierCpu) -> Self {
        let packages = build.report.packages.iter().filter(|it| !it.failed);
        Self {
            own: packages.map(|it| (&it.package, it.cpu_ns)).collect(),
            earlier,
        }
    }

    fn get(&self, package: &ByteString) -> Option<u64> {
        let own = self.own.get(package).copied();
        own.or_else(|| self.earlier.get(package).copied())
    }
}

/// The packages of a program and their import graph.
struct Program<'a> {
    packages: &'a PackageBytes,
    /// The graph, the main package, and all packages that it needs.
    graph: Option<(&'a ImportGraph<'a>, u32, BTreeSet<u32>)>,
    /// The bytes of the packages in the file, by import path.
    bytes: BTreeMap<&'a [u8], u64>,
}

fn fill(
    price: &mut ProgramPrice,
    anatomy: &Anatomy,
    packages: &PackageBytes,
    graph: Option<&ImportGraph<'_>>,
    cpu: &Cpu<'_>,
) {
    if packages.n > packages.list.len() as u64 {
        price.missing.push(Missing::SomePackages);
    }
    let main = price.package.clone().unwrap_or_default();
    let number = graph.and_then(|it| it.number(main.as_bytes()));
    let known = graph.zip(number).and_then(|(graph, main)| {
        let all = graph.reach(&[main])?;
        Some((graph, main, all))
    });
    match (graph, number, &known) {
        (_, _, Some(_)) => {}
        (None, _, None) => price.missing.push(Missing::Imports),
        (Some(_), None, None) => price.missing.push(Missing::MainPackage),
        (Some(_), Some(_), None) => price.missing.push(Missing::SomeImports),
    }
    let list = packages.list.iter();
    let program = Program {
        packages,
        graph: known,
        bytes: list
            .map(|it| (import_path(&it.path, &main), it.bytes))
            .collect(),
    };
    price.reflect_uses = program.reflect_uses(&anatomy.reflect_uses);
    let modules = (0u32..).zip(&packages.modules);
    let dependencies = modules.filter(|(_, it)| it.is_dependency);
    price.modules = dependencies
        .map(|(number, module)| program.price(number, module, price, &main, cpu))
        .collect();
    let bytes = |it: &ModulePrice| it.retained_bytes.unwrap_or(it.own_bytes);
    price
        .modules
        .sort_by(|a, b| bytes(b).cmp(&bytes(a)).then_with(|| a.path.cmp(&b.path)));
}

/// The import path of a package in a program.
fn import_path<'a>(path: &'a str, main: &'a ByteString) -> &'a [u8] {
    if path == MAIN {
        main.as_bytes()
    } else {
        path.as_bytes()
    }
}

impl Program<'_> {
    fn price(
        &self,
        number: u32,
        module: &ProgramModule,
        price: &ProgramPrice,
        main: &ByteString,
        cpu: &Cpu<'_>,
    ) -> ModulePrice {
        let own = self.packages.list.iter().filter(|it| it.module == number);
        let own_bytes = own
            .clone()
            .fold(0u64, |sum, it| sum.saturating_add(it.bytes));
        let init_functions = own
            .clone()
            .try_fold(0u64, |sum, it| Some(sum.saturating_add(it.init_functions?)));
        let mut names: BTreeSet<&[u8]> = own.map(|it| import_path(&it.path, main)).collect();
        let is_own = |path: &[u8]| {
            self.module_of(path)
                .is_some_and(|it| it.path == module.path)
        };
        let (mut retained, mut chain) = (None, None);
        if let Some((graph, root, all)) = &self.graph {
            let path_of = |it: u32| graph.package(it).map(ByteString::as_bytes);
            let of_module: BTreeSet<u32> = all
                .iter()
                .copied()
                .filter(|it| path_of(*it).is_some_and(|path| names.contains(path) || is_own(path)))
                .collect();
            names.extend(of_module.iter().filter_map(|it| path_of(*it)));
            let left = graph.reach_without(&[*root], |it| of_module.contains(&it));
            retained = left.map(|left| {
                let gone = all.difference(&left).filter_map(|it| path_of(*it));
                // A package of the module may have bytes and no place in the graph.
                gone.chain(names.iter().copied()).collect::<BTreeSet<_>>()
            });
            let numbers = graph.chain(&[*root], |it| of_module.contains(&it));
            chain = numbers.map(|it| self.names(&it));
        }
        let times = |names: &BTreeSet<&[u8]>| -> Vec<u64> {
            let names = names.iter();
            let known = names.filter_map(|it| cpu.get(&ByteString::from(*it)));
            known.collect()
        };
        let sum = |times: &[u64]| {
            (!times.is_empty()).then(|| times.iter().copied().fold(0, u64::saturating_add))
        };
        let known = times(&names);
        let bytes_of = |it: &BTreeSet<&[u8]>| {
            let bytes = it.iter().filter_map(|it| self.bytes.get(it));
            bytes.fold(0u64, |sum, it| sum.saturating_add(*it))
        };
        let retained_bytes = retained.as_ref().map(bytes_of);
        ModulePrice {
            path: module.path.clone(),
            version: module.version.clone(),
            packages: names.len() as u64,
            own_bytes,
            init_functions,
            retained_bytes,
            retained_file_bytes: retained_bytes
                .and_then(|it| share(price.size, it, self.all_bytes())),
            retained_packages: retained.as_ref().map(|it| it.len() as u64),
            packages_without_cpu: (names.len() - known.len()) as u64,
            compile_cpu_ns: sum(&known),
            retained_compile_cpu_ns: retained.as_ref().and_then(|it| sum(&times(it))),
            link_cpu_ns: price
                .link_cpu_ns
                .and_then(|it| share(it, own_bytes, price.size)),
            chain,
        }
    }

    fn all_bytes(&self) -> u64 {
        let bytes = self.bytes.values();
        bytes.fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// The module with the longest path that contains the package, which is Go's own rule.
    fn module_of(&self, path: &[u8]) -> Option<&ProgramModule> {
        let modules = self.packages.modules.iter();
        let around = modules.filter(|it| {
            let rest = path.strip_prefix(it.path.as_bytes());
            rest.is_some_and(|it| it.is_empty() || it.starts_with(b"/"))
        });
        around.max_by_key(|it| it.path.len())
    }

    fn names(&self, numbers: &[u32]) -> Vec<ByteString> {
        let graph = self.graph.as_ref().map(|it| it.0);
        let names = numbers.iter().filter_map(|it| graph?.package(*it).cloned());
        names.collect()
    }

    fn reflect_uses(&self, functions: &[String]) -> Vec<ReflectUse> {
        let uses = functions.iter().map(|function| {
            let package = package_of(function);
            let chain = self.graph.as_ref().and_then(|(graph, root, _)| {
                let number = graph.number(package.as_bytes())?;
                graph.chain(&[*root], |it| it == number)
            });
            ReflectUse {
                function: function.clone(),
                chain: chain
                    .filter(|_| package != "reflect")
                    .map(|it| self.names(&it)),
            }
        });
        uses.collect()
    }
}

/// The package of a function: `text/template` of `text/template.(*state).evalField`.
fn package_of(function: &str) -> &str {
    let name = function.rfind('/').map_or(0, |it| it + 1);
    let rest = function.get(name..).unwrap_or_default();
    let end = name + rest.find('.').unwrap_or(rest.len());
    function.get(..end).unwrap_or_default()
}

/// The part of `whole` that `bytes` of `size` are.
fn share(whole: u64, bytes: u64, size: u64) -> Option<u64> {
    let part = u128::from(whole) * u128::from(bytes);
    u64::try_from(part.checked_div(u128::from(size))?).ok()
}

#[cfg(test)]
mod tests;
