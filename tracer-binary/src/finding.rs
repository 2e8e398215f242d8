//! Findings: facts that a reader needs before trusting the rest of an analysis.

mod curve;
mod dense;

use crate::analysis::{Analysis, Finding, FindingKind};
use crate::container::Container;
use crate::go::pclntab::Pclntab;

pub(crate) use dense::{RangeOwner, owners};

/// Maximum number of embedded files named one by one; the rest is counted.
const MAX_NAMED: usize = 5;

pub(crate) fn find(
    bytes: &[u8],
    container: &Container<'_>,
    analysis: &Analysis,
    owners: &[RangeOwner<'_>],
    is_go: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let packed = packer(bytes, container);
    if let Some(text) = &packed {
        findings.push(Finding {
            kind: FindingKind::Packed,
            text: text.clone(),
        });
    } else if !is_go {
        let text = "nothing in the file shows that Go made it".to_owned();
        findings.push(Finding {
            kind: FindingKind::NotGo,
            text,
        });
    }
    if is_go {
        findings.extend(obfuscated(container, analysis, packed.is_some()));
    }
    if packed.is_none() {
        findings.extend(dense::find(bytes, container, analysis, owners));
    }
    findings.extend(embeds(analysis));
    let overlay: u64 = analysis
        .contents
        .iter()
        .filter(|size| size.content == crate::attribution::Content::Overlay)
        .map(|size| size.bytes)
        .sum();
    // A packer keeps its own data there.
    if overlay > 0 && packed.is_none() {
        let text = format!(
            "{} follow the end of the file's own structure",
            size(overlay)
        );
        findings.push(Finding {
            kind: FindingKind::Overlay,
            text,
        });
    }
    findings
}

/// Detects UPX, which leaves its mark in the loader, and no sections in ELF files.
fn packer(bytes: &[u8], container: &Container<'_>) -> Option<String> {
    let images = container.parts.iter().map(|part| &part.image);
    let by_section = images
        .clone()
        .flat_map(|image| &image.sections)
        .any(|section| section.name.starts_with("UPX"));
    let head = bytes.get(..4096).unwrap_or(bytes);
    let tail = bytes.get(bytes.len().saturating_sub(64)..).unwrap_or(bytes);
    let has_mark = |bytes: &[u8]| memchr::memmem::find(bytes, b"UPX!").is_some();
    let by_mark =
        images.clone().any(|image| image.is_sectionless) && (has_mark(head) || has_mark(tail));
    (by_section || by_mark)
        .then(|| "packed with UPX: only the unpacker can be read; run `upx -d` on a copy and analyze that".to_owned())
}

/// Detects garble, which hides the version, the layout of the function table, or the names.
fn obfuscated(container: &Container<'_>, analysis: &Analysis, is_packed: bool) -> Option<Finding> {
    let identity = &analysis.identity;
    let mut signs = Vec::new();
    if identity.go_version.as_deref() == Some("unknown") {
        signs.push("the Go version was removed");
    }
    let mut images = container.parts.iter().map(|part| &part.image);
    let has_unknown_table = images.any(Pclntab::is_unknown);
    if has_unknown_table && analysis.counts.functions == 0 && !is_packed {
        signs.push("the function table does not have a known layout");
    }
    // Garble's import paths are hashes: one word of mixed case, which is not a usual package name.
    let (hashed, all) = analysis
        .packages
        .iter()
        .fold((0, 0), |(hashed, all), package| {
            let is_hash = package.path.len() >= 6
                && package
                    .path
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && package.path.bytes().any(|byte| byte.is_ascii_uppercase())
                && package.path.bytes().any(|byte| byte.is_ascii_lowercase());
            (hashed + usize::from(is_hash), all + 1)
        });
    if hashed >= 3 && hashed * 10 >= all {
        signs.push("packages have hashes for names");
    }
    (!signs.is_empty()).then(|| Finding {
        kind: FindingKind::Obfuscated,
        text: format!("obfuscated, most likely with garble: {}", signs.join(", ")),
    })
}

fn embeds(analysis: &Analysis) -> Option<Finding> {
    let mut compressed: Vec<_> = analysis
        .embeds
        .iter()
        .filter(|embed| embed.compressed.is_some())
        .collect();
    if compressed.is_empty() {
        return None;
    }
    compressed.sort_by_key(|embed| std::cmp::Reverse(embed.size));
    let total: u64 = compressed.iter().map(|embed| embed.size).sum();
    let named: Vec<_> = compressed
        .iter()
        .take(MAX_NAMED)
        .map(|embed| {
            format!(
                "{} ({}, {})",
                embed.path,
                embed.compressed.as_deref().unwrap_or_default(),
                size(embed.size)
            )
        })
        .collect();
    let more = compressed.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(Finding {
        kind: FindingKind::CompressedEmbed,
        text: format!(
            "{} of embedded files are compressed already: {}{more}",
            size(total),
            named.join(", ")
        ),
    })
}

/// A size as text: 86.0 kB.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_a_unit() {
        let told = [999, 1000, 86_016, 999_999, 1_000_000, 4_294_967_295].map(size);
        assert_eq!(
            told,
            [
                "999 bytes",
                "1.0 kB",
                "86.0 kB",
                "999.9 kB",
                "1.0 MB",
                "4.2 GB"
            ]
        );
    }
}
