//! The same bytes by package, by module, by group and by content.

use std::collections::BTreeMap;

use crate::analysis::{ContentSize, GroupSize, ModuleSize, PackageSize};
use crate::attribution::Content;
use crate::ledger::{ByContent, Ledger};
use crate::module::{Group, Modules};

/// Packages, modules and groups: the same bytes at three grains.
pub(super) struct Grains {
    pub(super) packages: Vec<PackageSize>,
    pub(super) modules: Vec<ModuleSize>,
    pub(super) groups: Vec<GroupSize>,
}

impl Grains {
    /// Sums the bytes of the ledger at each grain. `paths` contains the packages in the ledger's order, and `n_init` the number of their
    /// init functions.
    pub(super) fn of(known: &Modules<'_>, paths: &[&str], ledger: &Ledger, n_init: &[u64]) -> Self {
        // Two mangled names may be one path: types contain the plain path, symbols the escaped one.
        let mut by_path: BTreeMap<&str, (ByContent, u64)> = BTreeMap::new();
        let n_init = n_init.iter().copied().chain(std::iter::repeat(0));
        for ((path, bytes), n) in paths.iter().zip(&ledger.packages).zip(n_init) {
            let (total, n_init) = by_path.entry(path).or_default();
            for (sum, bytes) in total.iter_mut().zip(bytes) {
                *sum += bytes;
            }
            *n_init += n;
        }
        let mut packages = Vec::new();
        let mut modules: BTreeMap<(Group, &str), ModuleSize> = BTreeMap::new();
        let mut groups: BTreeMap<Group, GroupSize> = BTreeMap::new();
        for (path, (bytes, n_init)) in &by_path {
            let total: u64 = bytes.iter().sum();
            if total == 0 {
                continue;
            }
            let owner = known.module_of(path);
            let module = modules
                .entry((owner.group, owner.module))
                .or_insert_with(|| ModuleSize {
                    path: owner.module.to_owned(),
                    version: owner.version.to_owned(),
                    group: owner.group,
                    bytes: 0,
                    packages: 0,
                    is_guess: owner.is_guess,
                });
            module.bytes += total;
            module.packages += 1;
            let group = group(&mut groups, owner.group);
            group.bytes += total;
            group.packages += 1;
            let contents = Content::ALL
                .into_iter()
                .zip(bytes.iter().copied())
                .filter(|(_, bytes)| *bytes > 0);
            packages.push(PackageSize {
                path: (*path).to_owned(),
                module: owner.module.to_owned(),
                group: owner.group,
                bytes: total,
                init_functions: *n_init,
                contents: contents.collect(),
            });
        }
        for (content, bytes) in Content::ALL.into_iter().zip(ledger.unowned) {
            if bytes > 0 {
                group(&mut groups, group_of(content)).bytes += bytes;
            }
        }
        packages.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        let mut modules: Vec<_> = modules.into_values().collect();
        modules.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.bytes), group.group));
        Self {
            packages,
            modules,
            groups,
        }
    }
}

fn group(groups: &mut BTreeMap<Group, GroupSize>, group: Group) -> &mut GroupSize {
    groups.entry(group).or_insert(GroupSize {
        group,
        bytes: 0,
        packages: 0,
    })
}

/// The group of bytes that belong to no package.
fn group_of(content: Content) -> Group {
    match content {
        Content::CCode => Group::Cgo,
        Content::Types | Content::Itabs | Content::FunctionTable | Content::BuildInfo => {
            Group::RuntimeMetadata
        }
        Content::Strings => Group::Strings,
        Content::Debug => Group::Debug,
        Content::SymbolTable => Group::Symbols,
        Content::Linking | Content::Note | Content::Header | Content::Padding => Group::Structure,
        Content::Member => Group::Members,
        Content::Code
        | Content::Data
        | Content::Embed
        | Content::Overlay
        | Content::Unattributed
        | Content::Outside => Group::Unattributed,
    }
}

pub(super) fn contents(ledger: &Ledger) -> Vec<ContentSize> {
    let mut contents: Vec<_> = Content::ALL
        .into_iter()
        .zip(ledger.unowned)
        .enumerate()
        .map(|(number, (content, unowned))| {
            let in_packages: u64 = ledger
                .packages
                .iter()
                .filter_map(|bytes| bytes.get(number))
                .sum();
            ContentSize {
                content,
                bytes: unowned + in_packages,
                in_packages,
            }
        })
        .filter(|size| size.bytes > 0)
        .collect();
    contents.sort_by_key(|size| (std::cmp::Reverse(size.bytes), size.content));
    contents
}
