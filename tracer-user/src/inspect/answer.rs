//! The answer of a child to its parent: one line of JSON, with a version and a bounded length.
//!
//! The child has read a file from an untrusted source, so the parent trusts no answer. An answer that does not fit the file, or is
//! longer than an honest one, is rejected.

use serde::{Deserialize, Serialize};
use tracer_core::event::{Anatomy, Artifact, PackageBytes, Section, Stamp, Vcs};

use super::anatomy::{PACKAGE_NAMES, PACKAGES, SECTIONS};
use super::artifact::TEXT;
use crate::sandbox::Restrictions;

pub(super) const VERSION: u32 = 1;
/// Maximum size of an answer. The longest honest one has 64 names of sections of 1024 bytes and [`PACKAGE_NAMES`], with six bytes for each
/// byte, and a number for each package.
pub(super) const LIMIT: usize = 1 << 21;
/// Maximum number of functions that find methods by name. The analysis finds at most six.
const REFLECT_USES: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) version: u32,
    /// The restrictions while the file was read; absent if a restriction failed and nothing was read.
    #[serde(rename = "walls")]
    pub(super) restrictions: Option<Restrictions>,
    pub(super) found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    Identity(Box<Artifact>),
    Anatomy(Anatomy),
    /// The file is no program.
    NoProgram,
    /// The content differs from the requested one.
    Changed,
    /// The content cannot be parsed.
    Unreadable(String),
    /// Reading failed with this errno.
    Unread(i32),
    /// This restriction could not be applied.
    Unsafe(String),
}

impl Answer {
    /// Parses the answer about a file of that size; `None` if no honest child gives such an answer.
    pub(super) fn believable(bytes: &[u8], size: u64) -> Option<Self> {
        let answer: Self = serde_json::from_slice(bytes).ok()?;
        let is_believable = answer.version == VERSION
            && match &answer.found {
                Found::Identity(artifact) => is_artifact(artifact, size),
                Found::Anatomy(anatomy) => is_anatomy(anatomy, size),
                Found::NoProgram | Found::Changed => true,
                Found::Unreadable(why) | Found::Unsafe(why) => is_text(why),
                Found::Unread(errno) => (1..4096).contains(errno),
            };
        is_believable.then_some(answer)
    }
}

fn is_artifact(artifact: &Artifact, is_size: u64) -> bool {
    let Artifact {
        size,
        sha256,
        go_version,
        main_package,
        main_module,
        main_module_version,
        format,
        stamp,
        anatomy,
        unanalysed,
    } = artifact;
    // A file that was truncated while it was read is shorter. The parent detects this by reading its attributes again.
    let texts = [
        go_version,
        main_package,
        main_module,
        main_module_version,
        format,
    ];
    *size <= is_size
        && is_hash(sha256)
        && are_texts(texts)
        && stamp.as_ref().is_none_or(is_stamp)
        && anatomy.is_none()
        && unanalysed.is_none()
}

fn is_stamp(stamp: &Stamp) -> bool {
    let Stamp {
        buildmode,
        cgo: _,
        trimpath: _,
        race: _,
        vcs,
    } = stamp;
    are_texts([buildmode])
        && vcs.as_ref().is_none_or(|vcs| {
            let Vcs {
                system,
                revision,
                time,
                modified: _,
            } = vcs;
            are_texts([system, revision, time])
        })
}

fn is_anatomy(anatomy: &Anatomy, is_size: u64) -> bool {
    let Anatomy {
        stripped: _,
        c_code: _,
        loaded,
        outline,
        sections,
        n_sections,
        packages,
        drops_methods: _,
        reflect_uses,
    } = anatomy;
    let is_section = |section: &Section| {
        let Section {
            name,
            debug: _,
            size,
            entropy_millibits,
        } = section;
        is_text(name) && *size <= is_size && entropy_millibits.is_none_or(|it| it <= 8000)
    };
    is_text(loaded)
        && is_text(outline)
        && sections.len() <= SECTIONS
        && sections.len() as u64 <= *n_sections
        && sections.iter().all(is_section)
        && packages.as_ref().is_none_or(|it| are_packages(it, is_size))
        && reflect_uses.len() <= REFLECT_USES
        && reflect_uses.iter().all(|it| is_text(it))
}

fn are_packages(packages: &PackageBytes, size: u64) -> bool {
    let PackageBytes { modules, list, n } = packages;
    let names = list.iter().map(|it| &it.path);
    let names = names.chain(modules.iter().map(|it| &it.path));
    let names = names.chain(modules.iter().filter_map(|it| it.version.as_ref()));
    let sum = list
        .iter()
        .try_fold(0u64, |sum, it| sum.checked_add(it.bytes));
    names.clone().all(|it| is_text(it))
        && list.len() <= PACKAGES
        && names.map(String::len).sum::<usize>() <= PACKAGE_NAMES
        && list.len() as u64 <= *n
        && list.iter().all(|it| (it.module as usize) < modules.len())
        && sum.is_some_and(|it| it <= size)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

fn are_texts<const N: usize>(texts: [&Option<String>; N]) -> bool {
    texts.into_iter().flatten().all(|it| is_text(it))
}

fn is_text(text: &str) -> bool {
    text.len() <= TEXT
}

#[cfg(test)]
mod tests {
    use tracer_core::event::{PackageSize, ProgramModule};

    use super::*;

    fn artifact() -> Artifact {
        Artifact {
            size: 3,
            sha256: "0".repeat(64),
            ..Artifact::default()
        }
    }

    fn answer(found: Found) -> Answer {
        Answer {
            version: VERSION,
            restrictions: Some(Restrictions { landlock: 7 }),
            found,
        }
    }

    fn check(answer: &Answer, is_accepted: bool) {
        let bytes = serde_json::to_vec(answer).unwrap();
        let accepted = Answer::believable(&bytes, 3);
        assert_eq!(
            accepted.as_ref(),
            is_accepted.then_some(answer),
            "{answer:?}"
        );
    }

    #[test]
    fn an_honest_answer_is_accepted() {
        for found in [
            Found::Identity(Box::new(artifact())),
            Found::Anatomy(Anatomy::default()),
            Found::NoProgram,
            Found::Changed,
            Found::Unreadable("cut".to_owned()),
            Found::Unread(5),
            Found::Unsafe("no filter".to_owned()),
        ] {
            check(&answer(found), true);
        }
    }

    #[test]
    fn a_dishonest_answer_is_rejected() {
        let of = |change: &dyn Fn(&mut Artifact)| {
            let mut artifact = artifact();
            change(&mut artifact);
            answer(Found::Identity(Box::new(artifact)))
        };
        let long = || Some("x".repeat(TEXT + 1));
        check(&of(&|it| it.size = 4), false);
        check(&of(&|it| it.sha256 = "../../etc".to_owned()), false);
        check(&of(&|it| it.main_package = long()), false);
        check(&of(&|it| it.anatomy = Some(Box::default())), false);
        check(
            &of(&|it| {
                let vcs = Some(Vcs {
                    revision: long(),
                    ..Vcs::default()
                });
                it.stamp = Some(Stamp {
                    vcs,
                    ..Stamp::default()
                });
            }),
            false,
        );
        let sections = |n: usize, section: Section| {
            answer(Found::Anatomy(Anatomy {
                sections: vec![section; n],
                n_sections: n as u64,
                ..Anatomy::default()
            }))
        };
        check(&sections(SECTIONS, Section::default()), true);
        check(&sections(SECTIONS + 1, Section::default()), false);
        check(
            &sections(
                1,
                Section {
                    size: 4,
                    ..Section::default()
                },
            ),
            false,
        );
        let entropy_millibits = Some(8001);
        check(
            &sections(
                1,
                Section {
                    entropy_millibits,
                    ..Section::default()
                },
            ),
            false,
        );
        let packages = |bytes: u64, module: u32| {
            let package = PackageSize {
                path: "p".to_owned(),
                module,
                bytes,
                init_functions: None,
            };
            answer(Found::Anatomy(Anatomy {
                packages: Some(PackageBytes {
                    modules: vec![ProgramModule::default()],
                    list: vec![package],
                    n: 1,
                }),
                ..Anatomy::default()
            }))
        };
        check(&packages(3, 0), true);
        check(&packages(4, 0), false);
        check(&packages(3, 1), false);
        check(&answer(Found::Unread(0)), false);
        let mut old = answer(Found::Changed);
        old.version = 0;
        check(&old, false);
        for text in [
            "",
            "{}",
            "null",
            "[[[[",
            r#"{"version":1,"walls":null,"found":"no_program","more":1}"#,
        ] {
            assert_eq!(Answer::believable(text.as_bytes(), 3), None, "{text}");
        }
    }
}
