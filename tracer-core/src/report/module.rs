//! The cost of compilation by module.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::PackageTime;
use super::tree::Node;
use crate::golang::tool::split_variant;
use crate::model::SourceModule;

/// The compilation of the packages of one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModuleTime {
    /// Absent for the packages whose module is not known.
    pub module: Option<SourceModule>,
    /// Number of packages. A test variant is a package of its own.
    pub packages: u64,
    /// CPU time of the calls that compiled them.
    pub cpu_ns: u64,
}

/// The module of a package, by the calls that worked on it. `None` if they read the sources of several modules.
pub(super) fn of_package(nodes: &[&Node<'_>]) -> Option<SourceModule> {
    let modules = nodes.iter().filter_map(|it| it.call.module.as_ref());
    let modules: BTreeSet<&SourceModule> = modules.collect();
    let mut modules = modules.into_iter();
    let module = modules.next().filter(|_| modules.next().is_none());
    module.cloned()
}

/// Gives the generated main package of a test the module of the tested package. All its sources are in the work directory.
pub(super) fn add_generated(packages: &mut [PackageTime]) {
    let known = packages.iter().filter_map(|it| {
        let (path, variant) = split_variant(it.package.as_bytes());
        // The external test of `p` is `p_test [p.test]`.
        let tested = variant.and_then(|_| path.strip_suffix(b"_test"));
        Some((tested.unwrap_or(path).to_vec(), it.module.clone()?))
    });
    let known: BTreeMap<Vec<u8>, SourceModule> = known.collect();
    for package in packages.iter_mut().filter(|it| it.module.is_none()) {
        let tested = package.package.as_bytes().strip_suffix(b".test");
        package.module = tested.and_then(|it| known.get(it)).cloned();
    }
}

/// Sums of the packages by module, most CPU time first.
pub(super) fn modules(packages: &[PackageTime]) -> Vec<ModuleTime> {
    let mut sums: BTreeMap<&Option<SourceModule>, (u64, u64)> = BTreeMap::new();
    for package in packages {
        let (n, cpu_ns) = sums.entry(&package.module).or_default();
        *n += 1;
        *cpu_ns = cpu_ns.saturating_add(package.cpu_ns);
    }
    let sums = sums.into_iter();
    let mut modules: Vec<ModuleTime> = sums
        .map(|(module, (packages, cpu_ns))| ModuleTime {
            module: module.clone(),
            packages,
            cpu_ns,
        })
        .collect();
    modules.sort_by_key(|it| std::cmp::Reverse((it.cpu_ns, it.packages)));
    modules
}
