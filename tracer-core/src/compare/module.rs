//! The modules of the compiled packages: versions, and CPU time of their compilation.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::change::{difference, join};
use crate::model::ModuleKind;
use crate::report::BuildReport;

/// A module with packages that at least one build compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModuleChange {
    /// Path of the module; `std` or `cmd` for the Go project. Absent for the packages whose module is not known.
    pub path: Option<String>,
    /// Versions, separated by commas. Absent if the build compiled none of its packages, or if their place shows no version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_version: Option<String>,
    /// CPU time of the compilation of its packages. Absent if the build compiled none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_cpu_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_cpu_ns: Option<u64>,
}

#[derive(Default)]
struct Sum {
    versions: BTreeSet<String>,
    cpu_ns: u64,
}

/// The modules that differ, the largest difference of CPU time first.
pub(super) fn modules(before: &BuildReport, after: &BuildReport) -> Vec<ModuleChange> {
    let joined = join(sums(before), sums(after)).into_iter();
    let modules = joined.map(|(path, (before, after))| ModuleChange {
        path,
        before_version: before.as_ref().and_then(version),
        after_version: after.as_ref().and_then(version),
        before_cpu_ns: before.map(|it| it.cpu_ns),
        after_cpu_ns: after.map(|it| it.cpu_ns),
    });
    let mut modules: Vec<ModuleChange> = modules
        .filter(|it| it.before_cpu_ns != it.after_cpu_ns || it.before_version != it.after_version)
        .collect();
    modules.sort_by_key(|it| Reverse(difference(it.before_cpu_ns, it.after_cpu_ns)));
    modules
}

fn sums(report: &BuildReport) -> BTreeMap<Option<String>, Sum> {
    let mut sums: BTreeMap<Option<String>, Sum> = BTreeMap::new();
    for it in &report.cpu_by_module {
        let module = it.module.as_ref();
        let is_standard = module.is_some_and(|it| it.kind == ModuleKind::Standard);
        let standard = is_standard.then(|| "std".to_owned());
        let path = module.and_then(|it| it.path.clone()).or(standard);
        let sum = sums.entry(path).or_default();
        sum.versions
            .extend(module.and_then(|it| it.version.clone()));
        sum.cpu_ns = sum.cpu_ns.saturating_add(it.cpu_ns);
    }
    sums
}

fn version(sum: &Sum) -> Option<String> {
    let versions: Vec<&str> = sum.versions.iter().map(String::as_str).collect();
    (!versions.is_empty()).then(|| versions.join(", "))
}
