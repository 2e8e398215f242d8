//! The identity of a file from its own content, reduced to the kept fields. The builder of the file wrote all of it, so texts are
//! redacted and truncated. The linker's flags are not kept, because they may contain anything.

use tracer_binary::artifact::{Identity, Kind, identify};
use tracer_core::event::{Artifact, Stamp, Vcs};
use tracer_core::redact;

/// Maximum length of a text in bytes. No import path is as long.
pub(super) const TEXT: usize = 1024;

/// Identifies a file with this content and SHA-256.
pub(super) fn of(bytes: &[u8], sha256: String) -> Artifact {
    let identity = identify(bytes);
    let stamp = stamp(&identity);
    let Identity {
        kind,
        go_version,
        path,
        main,
        ..
    } = identity;
    let main_module = main.as_ref().map(|it| cut(&it.path));
    Artifact {
        size: bytes.len() as u64,
        sha256,
        go_version: go_version.as_deref().map(cut),
        main_package: path.as_deref().map(cut),
        main_module,
        main_module_version: main
            .filter(|it| !it.version.is_empty())
            .map(|it| cut(&it.version)),
        format: (kind != Kind::Unknown).then(|| kind.name().to_owned()),
        stamp,
        ..Artifact::default()
    }
}

/// Reads the settings, which Go writes since 1.18; `None` for a file without settings.
fn stamp(identity: &Identity) -> Option<Stamp> {
    let setting = |key| identity.setting(key).map(cut);
    let truth = |key| setting(key).and_then(|it| it.parse().ok());
    let vcs = Vcs {
        system: setting("vcs"),
        revision: setting("vcs.revision"),
        time: setting("vcs.time"),
        modified: truth("vcs.modified"),
    };
    (!identity.settings.is_empty()).then(|| Stamp {
        buildmode: setting("-buildmode"),
        cgo: setting("CGO_ENABLED").map(|it| it == "1"),
        trimpath: truth("-trimpath").unwrap_or(false),
        race: truth("-race").unwrap_or(false),
        vcs: (vcs != Vcs::default()).then_some(vcs),
    })
}

/// Redacts a text of the file, and truncates it between characters.
pub(super) fn cut(text: &str) -> String {
    let redacted = redact::name(text.as_bytes());
    let text = String::from_utf8_lossy(&redacted);
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_truncated_between_characters() {
        assert_eq!(cut("go1.27.3"), "go1.27.3");
        let token = format!(
            "example.com/a/ghp_{}",
            "e220a8397b1dcdaf6e789e6aa1b965f406c4"
        );
        assert!(!cut(&token).contains("e220a8397b1d"), "{}", cut(&token));
        let long = cut(&"ü".repeat(TEXT));
        assert_eq!(long, "ü".repeat(TEXT / 2));
    }

    #[test]
    fn a_file_that_is_no_program_has_no_format_and_no_stamp() {
        let artifact = of(b"\x7fELF and nothing", "hash".to_owned());
        assert_eq!((artifact.size, artifact.format), (16, None));
        assert_eq!(artifact.stamp, None);
    }

    #[test]
    fn a_program_of_another_language_has_a_format_and_no_stamp() {
        let bytes = std::fs::read("/bin/true").unwrap();
        let artifact = of(&bytes, String::new());
        assert_eq!(artifact.format.as_deref(), Some("ELF"));
        assert_eq!((artifact.stamp, artifact.go_version), (None, None));
    }
}
