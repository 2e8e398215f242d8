//! Fat Mach-O files: several images for several machines in one file.

use object::macho::{FAT_MAGIC, FAT_MAGIC_64};
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};

use super::{Container, HeaderRanges, Member, Part, Wrapper, image};
use crate::error::Error;
use crate::image::clamp;
use crate::reader::{Endian, Reader};

/// True for a fat Mach-O file. Java class files share the magic; their version is larger than any count of machines.
pub(super) fn is_fat(bytes: &[u8]) -> bool {
    let reader = Reader::new(bytes, Endian::Big);
    matches!(reader.u32(0), Some(FAT_MAGIC | FAT_MAGIC_64))
        && reader.u32(4).is_some_and(|count| count < 40)
}

pub(super) fn open(bytes: &[u8]) -> Result<Container<'_>, Error> {
    let broken = |_| Error::Broken {
        format: "fat Mach-O",
        what: "table of machines",
    };
    let wide = Reader::new(bytes, Endian::Big).u32(0) == Some(FAT_MAGIC_64);
    let slices = if wide {
        slices(MachOFatFile64::parse(bytes).map_err(broken)?.arches())
    } else {
        slices(MachOFatFile32::parse(bytes).map_err(broken)?.arches())
    };
    let mut headers = HeaderRanges::new(bytes.len());
    let entry = if wide { 32 } else { 20 };
    headers.add("fat header", 0, 8 + entry * slices.len() as u64);
    let (mut members, mut parts, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (offset, size) in slices {
        let (file, cut) = clamp(offset, size, bytes.len());
        if cut {
            notes.push("a slice reaches outside of the file".to_owned());
        }
        let content = bytes.get(file.clone()).unwrap_or_default();
        let name = match image(content) {
            Ok(Some(image)) => {
                let name = image.goarch.to_owned();
                parts.push(Part {
                    label: name.clone(),
                    offset: file.start,
                    image,
                });
                name
            }
            Ok(None) => "unknown".to_owned(),
            Err(error) => {
                notes.push(error.to_string());
                "damaged".to_owned()
            }
        };
        members.push(Member { name, file });
    }
    Ok(Container {
        wrapper: Wrapper::Fat,
        parts,
        members,
        headers: headers.done(),
        notes,
    })
}

fn slices<A: FatArch>(arches: &[A]) -> Vec<(u64, u64)> {
    arches.iter().map(FatArch::file_range).collect()
}
