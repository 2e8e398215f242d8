//! The same bytes by package, by module, by group and by content.

use std::collections::BTreeMap;

use crate::analysis::{ContentSize, GroupSize, ModuleSize, PackageSize};
use crate::claim::Content;
use crate::ledger::{ByContent, Ledger};
use crate::module::{Group, Modules};

/// Packages, modules and groups: the same bytes at three grains.
pub(super) struct Grains {
    pub(super) packages: Vec<PackageSize>,
    pub(super) modules: Vec<ModuleSize>,
    pub(super) groups: Vec<GroupSize>,
}

impl Grains {
    /// `paths` are of the packages, in the ledger's order.
    pub(super) fn of(homes: &Modules<'_>, paths: &[&str], ledger: &Ledger) -> Self {
        // Two mangled names may be one path, as types say it plainly and symbols do not.
        let mut by_path: BTreeMap<&str, ByContent> = BTreeMap::new();
        for (path, bytes) in paths.iter().zip(&ledger.packages) {
            let total = by_path.entry(path).or_default();
            for (sum, bytes) in total.iter_mut().zip(bytes) {
                *sum += bytes;
            }
        }
        let mut packages = Vec::new();
        let mut modules: BTreeMap<(Group, &str), ModuleSize> = BTreeMap::new();
        let mut groups: BTreeMap<Group, GroupSize> = BTreeMap::new();
        for (path, bytes) in &by_path {
            let total: u64 = bytes.iter().sum();
            if total == 0 {
                continue;
            }
            let home = homes.home(path);
            let module = modules
                .entry((home.group, home.module))
                .or_insert_with(|| ModuleSize {
                    path: home.module.to_owned(),
                    version: home.version.to_owned(),
                    group: home.group,
                    bytes: 0,
                    packages: 0,
                    is_guess: home.is_guess,
                });
            module.bytes += total;
            module.packages += 1;
            let group = group(&mut groups, home.group);
            group.bytes += total;
            group.packages += 1;
            let contents = Content::ALL
                .into_iter()
                .zip(bytes.iter().copied())
                .filter(|(_, bytes)| *bytes > 0);
            packages.push(PackageSize {
                path: (*path).to_owned(),
                module: home.module.to_owned(),
                group: home.group,
                bytes: total,
                contents: contents.collect(),
            });
        }
        for (content, bytes) in Content::ALL.into_iter().zip(ledger.nobody) {
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

/// Where bytes go that belong to no package.
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
        .zip(ledger.nobody)
        .enumerate()
        .map(|(number, (content, nobody))| {
            let in_packages: u64 = ledger
                .packages
                .iter()
                .filter_map(|bytes| bytes.get(number))
                .sum();
            ContentSize {
                content,
                bytes: nobody + in_packages,
                in_packages,
            }
        })
        .filter(|size| size.bytes > 0)
        .collect();
    contents.sort_by_key(|size| (std::cmp::Reverse(size.bytes), size.content));
    contents
}
