//! Identifies a tool by its `.go.buildinfo`: the Go version, and the `path` line of the module information.
//!
//! Supports the format of Go 1.18 and later, in which the section itself contains both strings.

use std::fs::File;

use tracer_core::event::{MainPackage, Role};
use tracer_core::golang::build_info;

use super::elf::{Elf, Range};

/// Maximum number of bytes to read from the section; the tools' own sections have less than one KiB.
const LEN_MAX: u64 = 64 << 10;

/// A tool of a Go toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolIdentity {
    pub role: Role,
    /// `go1.27.3`.
    pub version: String,
}

/// Returns the tool of a Go toolchain that a file is, if it is one.
pub fn identify(file: &File) -> Option<ToolIdentity> {
    parse(&section(file)?)
}

/// Returns the main package of a program, and its module. Any builder can write anything there.
pub fn main_package(file: &File) -> Option<MainPackage> {
    let section = section(file)?;
    build_info::main_package(build_info_of(&section)?.text)
}

fn section(file: &File) -> Option<Vec<u8>> {
    let elf = Elf::read(file)?;
    let range = elf.section(".go.buildinfo")?;
    elf.bytes(
        Range {
            len: range.len.min(LEN_MAX),
            ..range
        },
        usize::MAX,
    )
}

/// The content of the section.
struct BuildInfo<'a> {
    version: &'a [u8],
    /// Lines with tab-separated fields.
    text: &'a [u8],
}

fn build_info_of(section: &[u8]) -> Option<BuildInfo<'_>> {
    const MAGIC: &[u8] = b"\xff Go buildinf:";
    /// Flag of the supported form.
    const INLINE: u8 = 2;
    if !section.starts_with(MAGIC) || section.get(15)? & INLINE == 0 {
        return None;
    }
    let (version, rest) = string(section.get(32..)?)?;
    let (modules, _) = string(rest)?;
    let text = build_info::unmarked(modules)?;
    Some(BuildInfo { version, text })
}

fn parse(section: &[u8]) -> Option<ToolIdentity> {
    let BuildInfo { version, text } = build_info_of(section)?;
    let path = text
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"path\t"))?;
    Some(ToolIdentity {
        role: role(path)?,
        version: str::from_utf8(version).ok()?.to_owned(),
    })
}

fn role(path: &[u8]) -> Option<Role> {
    Some(match path.strip_prefix(b"cmd/")? {
        b"go" => Role::Go,
        b"compile" => Role::Compile,
        b"asm" => Role::Asm,
        b"link" => Role::Link,
        b"cgo" => Role::Cgo,
        b"vet" => Role::Vet,
        b"cover" => Role::Cover,
        b"pack" => Role::Pack,
        b"preprofile" => Role::Preprofile,
        b"fix" => Role::Fix,
        b"buildid" => Role::BuildId,
        _ => return None,
    })
}

/// Parses a string after its varint length; also returns the rest.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0usize;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return bytes.get(i + 1..)?.split_at_checked(len);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(version: &str, modules: &str) -> Vec<u8> {
        let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
        bytes.resize(32, 0);
        bytes.push(u8::try_from(version.len()).unwrap());
        bytes.extend(version.as_bytes());
        let n = modules.len() + 32;
        bytes.extend([
            u8::try_from(n & 0x7f).unwrap() | 0x80,
            u8::try_from(n >> 7).unwrap(),
        ]);
        bytes.extend([b'#'; 16]);
        bytes.extend(modules.as_bytes());
        bytes.extend([b'#'; 16]);
        bytes
    }

    #[test]
    fn a_tool_is_known_by_its_path_line() {
        let bytes = section("go1.27.3", "path\tcmd/compile\nbuild\t-pgo=default.pgo\n");
        assert_eq!(
            parse(&bytes),
            Some(ToolIdentity {
                role: Role::Compile,
                version: "go1.27.3".to_owned()
            })
        );
    }

    #[test]
    fn another_program_is_no_tool() {
        assert_eq!(
            parse(&section("go1.27.3", "path\texample.com/compile\n")),
            None
        );
        assert_eq!(parse(&section("go1.27.3", "mod\tcmd/go\n")), None);
    }

    #[test]
    fn a_truncated_section_causes_no_panic() {
        let bytes = section("go1.19.8", "path\tcmd/go\n");
        for n in 0..bytes.len() {
            assert_eq!(parse(&bytes[..n]), None);
        }
    }
}
