//! The Go build ID: the actions that made the file, and a hash of their output.
//!
//! The linker writes the action IDs, and `cmd/go` then replaces the last part, the content ID. Two builds of the same code therefore
//! have different IDs only if an input differs or the ID is set by hand.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::{Image, Section, SectionClass};
use crate::reader::{Endian, Reader, index};

/// The build ID, as a whole and in its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildId {
    pub whole: String,
    /// Hash of the inputs of the link (of the compilation, for a package).
    pub action: String,
    /// For a program: action ID of the main package's compilation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_action: Option<String>,
    /// For a program: content ID of the main package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_content: Option<String>,
    /// Hash of the output, with the ID itself taken as zeros.
    pub content: String,
}

impl BuildId {
    pub fn parse(whole: &str) -> Self {
        let parts: Vec<_> = whole.split('/').map(str::to_owned).collect();
        let mut id = Self {
            whole: whole.to_owned(),
            action: parts.first().cloned().unwrap_or_default(),
            main_action: None,
            main_content: None,
            content: parts.last().cloned().unwrap_or_default(),
        };
        if let [_, main_action, main_content, _] = parts.as_slice() {
            id.main_action = Some(main_action.clone());
            id.main_content = Some(main_content.clone());
        }
        id
    }
}

const PREFIX: &[u8] = b"\xff Go build ID: \"";
/// The raw form is searched in this many first bytes of the code; it is at the very start.
const RAW_WITHIN: usize = 32 << 10;
const MAX: usize = 1024;

/// The build ID of an image: ELF note, the head of the code, or the wasm section.
pub(crate) fn read(image: &Image<'_>) -> Option<BuildId> {
    let named = |name: &str| {
        image
            .section(name)
            .map(|section| image.section_bytes(section))
    };
    let is_note = |section: &&Section<'_>| {
        section.name == ".note.go.buildid"
            || image.is_sectionless && section.class == SectionClass::Note
    };
    let mut notes = image.sections.iter().filter(is_note);
    let raw = notes
        .find_map(|section| note(Reader::new(image.section_bytes(section), image.endian)))
        .or_else(|| named("go:buildid").and_then(raw))
        .or_else(|| {
            let code = image
                .sections
                .iter()
                .filter(|section| section.class == SectionClass::Code);
            code.take(8)
                .find_map(|section| raw(image.section_bytes(section)))
        })
        .or_else(|| raw(image.bytes))?;
    let text = std::str::from_utf8(raw).ok()?.trim_matches('\0');
    (!text.is_empty() && text.len() <= MAX).then(|| BuildId::parse(text))
}

/// The build ID of a package archive's definition, as text in its header.
pub(crate) fn from_package(definition: &[u8]) -> Option<BuildId> {
    let head = definition.get(..MAX).unwrap_or(definition);
    let head = String::from_utf8_lossy(head);
    let quoted = head
        .lines()
        .find_map(|line| line.strip_prefix("build id \""))?;
    Some(BuildId::parse(quoted.strip_suffix('"')?))
}

fn note(reader: Reader<'_>) -> Option<&[u8]> {
    const GO_BUILD_ID: u32 = 4;
    let name = index(reader.u32(0)?.into())?;
    let len = index(reader.u32(4)?.into())?;
    if reader.u32(8)? != GO_BUILD_ID || reader.slice(12, 4)? != b"Go\0\0" || name != 4 {
        return None;
    }
    reader.slice(16, len)
}

fn raw(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(raw_range(bytes)?)
}

/// The range of the raw form's ID in the head of `bytes`.
pub(crate) fn raw_range(bytes: &[u8]) -> Option<Range<usize>> {
    let head = bytes.get(..RAW_WITHIN).unwrap_or(bytes);
    let start = memchr::memmem::find(head, PREFIX)? + PREFIX.len();
    let text = Reader::new(bytes, Endian::Little).cstr(start, MAX)?;
    Some(start..start + memchr::memchr(b'"', text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_four_parts_and_a_package_two() {
        let id = BuildId::parse("a/b/c/d");
        assert_eq!((id.action.as_str(), id.content.as_str()), ("a", "d"));
        assert_eq!(
            (id.main_action.as_deref(), id.main_content.as_deref()),
            (Some("b"), Some("c"))
        );
        let id = BuildId::parse("a/b");
        assert_eq!(
            (
                id.action.as_str(),
                id.main_action.as_deref(),
                id.content.as_str()
            ),
            ("a", None, "b")
        );
    }

    #[test]
    fn a_package_definition_carries_its_id() {
        let id =
            from_package(b"go object linux amd64 go1.27.3 GOAMD64=v1\nbuild id \"x/y\"\n\n$$B\n");
        assert_eq!(id.map(|id| id.whole).as_deref(), Some("x/y"));
    }
}
