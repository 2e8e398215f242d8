//! Opens files: detects the format, and the contents of archives and fat files, and makes images.
//!
//! Each container has one module, which reads headers only and copies nothing but names that are not UTF-8. The
//! exception is wasm: its data comes in pieces, which are joined once.

mod archive;
mod elf;
mod elf_linkage;
mod elf_section;
mod fat;
mod macho;
mod pe;
mod sectionless;
mod unsupported;
mod wasm;

use std::ops::Range;

use object::Endianness;

use crate::error::Error;
use crate::image::{Header, Image, clamp};
use crate::limit;

/// One image and its position in the file.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    /// Empty if the whole file is this image; otherwise the architecture or the member's name.
    pub label: String,
    pub offset: usize,
    pub image: Image<'a>,
}

/// A member of an archive or a slice of a fat file.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub name: String,
    /// Range of the member's bytes, without its header.
    pub file: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// The file is the image.
    None,
    Archive,
    Fat,
}

#[derive(Clone, Debug)]
pub(crate) struct Container<'a> {
    pub wrapper: Wrapper,
    pub parts: Vec<Part<'a>>,
    pub members: Vec<Member>,
    /// Headers of the wrapper itself.
    pub headers: Vec<Header>,
    pub notes: Vec<String>,
}

const ARCHIVE: &[u8] = b"!<arch>\n";

pub(crate) fn open(bytes: &[u8]) -> Result<Container<'_>, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    let size = bytes.len() as u64;
    if size > limit::FILE {
        return Err(Error::TooLarge {
            size,
            limit: limit::FILE,
        });
    }
    if bytes.starts_with(ARCHIVE) {
        return Ok(archive::open(bytes));
    }
    if fat::is_fat(bytes) {
        return fat::open(bytes);
    }
    let image = image(bytes)?.ok_or_else(|| Error::Unknown {
        format: unsupported::name(bytes),
        magic: magic(bytes),
    })?;
    Ok(Container {
        wrapper: Wrapper::None,
        parts: vec![Part {
            label: String::new(),
            offset: 0,
            image,
        }],
        members: Vec::new(),
        headers: Vec::new(),
        notes: Vec::new(),
    })
}

/// True if the bytes begin like a supported format.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let is_image = matches!(
        bytes,
        [0x7f, b'E', b'L', b'F', 1 | 2, ..]
            | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
            | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
            | [b'M', b'Z', ..]
            | [0, b'a', b's', b'm', ..]
    );
    is_image || bytes.starts_with(ARCHIVE) || fat::is_fat(bytes)
}

/// One image; `None` if the bytes are in no supported format.
fn image(bytes: &[u8]) -> Result<Option<Image<'_>>, Error> {
    let image = match bytes {
        [0x7f, b'E', b'L', b'F', 1, ..] => {
            elf::parse::<object::elf::FileHeader32<Endianness>>(bytes)?
        }
        [0x7f, b'E', b'L', b'F', 2, ..] => {
            elf::parse::<object::elf::FileHeader64<Endianness>>(bytes)?
        }
        [0xfe, 0xed, 0xfa, 0xce, ..] | [0xce, 0xfa, 0xed, 0xfe, ..] => {
            macho::parse::<object::macho::MachHeader32<Endianness>>(bytes)?
        }
        [0xfe, 0xed, 0xfa, 0xcf, ..] | [0xcf, 0xfa, 0xed, 0xfe, ..] => {
            macho::parse::<object::macho::MachHeader64<Endianness>>(bytes)?
        }
        [b'M', b'Z', ..] => pe::parse(bytes)?,
        [0, b'a', b's', b'm', ..] => wasm::parse(bytes)?,
        _ => return Ok(None),
    };
    Ok(Some(image))
}

fn magic(bytes: &[u8]) -> String {
    let start = bytes.get(..4).unwrap_or(bytes);
    if start.iter().all(u8::is_ascii_graphic) {
        format!("`{}`", lossy(start))
    } else {
        crate::hex::encode(start)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Collects header ranges, clamped to the file.
struct HeaderRanges {
    file: usize,
    list: Vec<Header>,
}

impl HeaderRanges {
    fn new(file: usize) -> Self {
        Self {
            file,
            list: Vec::new(),
        }
    }

    fn add(&mut self, name: &'static str, offset: u64, len: u64) {
        let (file, _) = clamp(offset, len, self.file);
        if !file.is_empty() {
            self.list.push(Header { name, file });
        }
    }

    fn done(self) -> Vec<Header> {
        self.list
    }
}
