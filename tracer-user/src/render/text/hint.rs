//! Hints as sentences.

use tracer_core::byte_string::ByteString;
use tracer_core::report::{BuildReport, Hint};

use super::word;
use crate::render::style::Page;
use crate::render::units;

const HINTS: usize = 2;

/// Writes the two most important hints.
pub(super) fn hints(page: &mut Page<'_>, numbers: &BuildReport) {
    if !numbers.hints.is_empty() {
        page.gap();
    }
    for hint in numbers.hints.iter().take(HINTS) {
        page.sentence(word::label("Look at"), &hint_text(hint, numbers), 2);
    }
}

fn hint_text(hint: &Hint, numbers: &BuildReport) -> String {
    let of_build = |ns: u64| {
        format!(
            "{} ({} of the build)",
            units::span(ns),
            units::share(ns, numbers.wall_ns)
        )
    };
    let name = |package: &Option<ByteString>| {
        package
            .as_ref()
            .map_or_else(|| "one run".to_owned(), ToString::to_string)
    };
    match hint {
        Hint::Cold { compiled } => {
            format!("the build cache: none of {compiled} packages came from it")
        }
        Hint::Alone { kind, package, ns } => {
            format!(
                "{} {}: it ran alone for {}",
                word::work(*kind),
                name(package),
                of_build(*ns)
            )
        }
        Hint::Linking { links, ns } => {
            format!(
                "linking: nothing else ran for {}, {}",
                of_build(*ns),
                units::counted(*links, "link", "links")
            )
        }
        Hint::ExternalLink { package, ns } => format!(
            "the C linker: {} of the link of {}",
            units::span(*ns),
            name(package)
        ),
        Hint::Loading { ns } => format!("loading packages: {}", of_build(*ns)),
        Hint::Collecting { ns, of_ns } => {
            format!(
                "garbage collection: under way in {} of the compilers' and linkers' time",
                units::share(*ns, *of_ns)
            )
        }
    }
}
