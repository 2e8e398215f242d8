//! The composition of a file, reduced from a whole analysis to the few numbers that are kept.

use std::collections::BTreeMap;

use tracer_binary::{
    Analysis, Error, Group, MethodElimination, ModuleSize, Options, SectionClass, analyze,
};
use tracer_core::event::{Anatomy, PackageBytes, PackageSize, ProgramModule, Section};

use super::answer::Found;
use super::artifact::cut;

/// Maximum number of sections to keep. A Go program has half as many.
pub(super) const SECTIONS: usize = 64;
/// Maximum number of packages to keep, and of the bytes of the names of packages and modules together. The 2,600 packages of Kubernetes' kubelet have 150,000.
pub(super) const PACKAGES: usize = 4_000;
pub(super) const PACKAGE_NAMES: usize = 200_000;

/// Analyses a file with this content, if its hash is `sha256`. Starts no thread.
pub(super) fn of(bytes: &[u8], sha256: &str) -> Found {
    let options = Options {
        // Symbols are not kept, so the analysis lists none.
        min_symbol: u64::MAX,
        windows: false,
        single_threaded: true,
    };
    match analyze(bytes, options) {
        Ok(analysis) if analysis.sha256 == sha256 => Found::Anatomy(anatomy(analysis)),
        Ok(_) => Found::Changed,
        // No data is missing here: for example, the header of a C library is an output too.
        Err(Error::Unknown { .. } | Error::Empty) => Found::NoProgram,
        Err(error @ (Error::TooLarge { .. } | Error::Broken { .. })) => {
            Found::Unreadable(cut(&error.to_string()))
        }
    }
}

/// Analyses a file that the user names, in this process. `None`: it is no program, or its hash is not `sha256`.
pub fn of_content(bytes: &[u8], sha256: &str) -> Option<Anatomy> {
    match of(bytes, sha256) {
        Found::Anatomy(anatomy) => Some(anatomy),
        Found::Identity(_)
        | Found::NoProgram
        | Found::Changed
        | Found::Unreadable(_)
        | Found::Unread(_)
        | Found::Unsafe(_) => None,
    }
}

fn anatomy(analysis: Analysis) -> Anatomy {
    let Analysis {
        content,
        properties,
        sections,
        modules,
        packages,
        ..
    } = analysis;
    let mut sections: Vec<Section> = sections
        .into_iter()
        .filter(|it| it.disk > 0)
        .map(|it| Section {
            name: cut(&it.name),
            debug: it.class == SectionClass::Debug,
            size: it.disk,
            entropy_millibits: it.entropy.map(millibits),
        })
        .collect();
    let n_sections = sections.len() as u64;
    sections.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    sections.truncate(SECTIONS);
    Anatomy {
        stripped: properties.stripped,
        c_code: properties.cgo,
        loaded: content.loaded,
        outline: content.outline,
        sections,
        n_sections,
        packages: package_bytes(&modules, packages),
        drops_methods: properties
            .method_elimination
            .map(|it| it == MethodElimination::On),
        reflect_uses: properties.reflect_uses.iter().map(|it| cut(it)).collect(),
    }
}

fn package_bytes(
    modules: &[ModuleSize],
    packages: Vec<tracer_binary::PackageSize>,
) -> Option<PackageBytes> {
    let is_of_go = |it: &Group| matches!(it, Group::Std | Group::Main | Group::Dependencies);
    let mut packages = packages;
    packages.retain(|it| is_of_go(&it.group) && it.bytes > 0);
    if packages.is_empty() {
        return None;
    }
    packages.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    let mut bytes = PackageBytes {
        n: packages.len() as u64,
        ..PackageBytes::default()
    };
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut n_text = 0;
    for package in packages {
        let next = u32::try_from(bytes.modules.len()).unwrap_or(u32::MAX);
        let number = numbers.get(&package.module).copied().unwrap_or(next);
        let is_new = number == next;
        let listed = modules.iter().find(|it| it.path == package.module);
        let version = listed.map_or("", |it| it.version.as_str());
        n_text += package.path.len();
        if is_new {
            n_text += package.module.len() + version.len();
        }
        if n_text > PACKAGE_NAMES || bytes.list.len() == PACKAGES {
            break;
        }
        if is_new {
            bytes.modules.push(ProgramModule {
                path: cut(&package.module),
                version: (!version.is_empty()).then(|| cut(version)),
                is_dependency: package.group == Group::Dependencies,
            });
            numbers.insert(package.module, number);
        }
        bytes.list.push(PackageSize {
            path: cut(&package.path),
            module: number,
            bytes: package.bytes,
            init_functions: Some(package.init_functions),
        });
    }
    Some(bytes)
}

fn millibits(entropy: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bits per byte are 0 to 8"
    )]
    let millibits = (entropy * 1000.0).round() as u32;
    millibits
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use tracer_core::hex;

    #[test]
    fn sections_of_a_program_are_sorted_by_size() {
        let bytes = std::fs::read("/bin/true").unwrap();
        let sha256 = hex::hex(Sha256::digest(&bytes).as_slice());
        let Found::Anatomy(anatomy) = of(&bytes, &sha256) else {
            panic!("/bin/true is a program");
        };
        let sizes: Vec<u64> = anatomy.sections.iter().map(|it| it.size).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.len() <= SECTIONS);
        assert!(sizes.iter().sum::<u64>() <= bytes.len() as u64);
        let text = anatomy.sections.iter().find(|it| it.name == ".text");
        let entropy = text.unwrap().entropy_millibits.unwrap();
        assert!((4000..8000).contains(&entropy), "{entropy}");
    }

    #[test]
    fn a_content_with_another_hash_is_a_change() {
        let bytes = std::fs::read("/bin/true").unwrap();
        assert_eq!(of(&bytes, "of something else"), Found::Changed);
    }

    #[test]
    fn a_damaged_program_differs_from_a_file_that_is_no_program() {
        assert_eq!(of(b"#include <stdint.h>\n", ""), Found::NoProgram);
        assert_eq!(of(b"", ""), Found::NoProgram);
        let garbage = of(b"\x7fELF\x02\x01\x01 and so on", "");
        assert!(matches!(garbage, Found::Unreadable(_)), "{garbage:?}");
    }
}
