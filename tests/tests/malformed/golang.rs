//! Small, valid tables of Go.

use super::crafted_file::CraftedFile;

pub(super) const VERSION: &str = "go1.24.11";
pub(super) const MODULE: &str = "example.com/crafted";
const INFO_START: &[u8] = b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
const INFO_END: &[u8] = b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";
/// Bytes of the text section, and bytes of each function in it.
pub(super) const TEXT: usize = 64;
const FUNCTIONS: [&str; 4] = [
    "main.main",
    "main.init",
    "runtime.main",
    "example.com/dep.F",
];
const FUNCTION: u64 = (TEXT / FUNCTIONS.len()) as u64;

/// The data of `go version -m`, with inline strings (since Go 1.18).
pub(super) fn build_info() -> CraftedFile {
    let mut crafted_file = CraftedFile::new("build info");
    crafted_file.raw(b"\xff Go buildinf:");
    crafted_file.put("pointer size", 1, 8);
    crafted_file.put("flags", 1, 2);
    crafted_file.align(32);
    crafted_file.counted("version length", VERSION.as_bytes());
    let text = format!(
        "path\t{MODULE}\nmod\t{MODULE}\tv1.2.3\t\ndep\texample.com/dep\tv0.1.0\th1:x=\n\
         build\t-buildmode=exe\nbuild\tCGO_ENABLED=0\nbuild\tvcs=git\nbuild\tvcs.modified=true\n"
    );
    crafted_file.counted(
        "text length",
        &[INFO_START, text.as_bytes(), INFO_END].concat(),
    );
    crafted_file
}

/// The function table in the layout of Go 1.20 to 1.25.
pub(super) fn functions(text: u64) -> CraftedFile {
    let mut crafted_file = CraftedFile::new("function table");
    crafted_file.put("table magic", 4, 0xffff_fff1);
    crafted_file.raw(&[0, 0]);
    crafted_file.put("quantum", 1, 1);
    crafted_file.put("word", 1, 8);
    let n = FUNCTIONS.len() as u64;
    crafted_file.puts(8, &[("functions", n), ("files", 1), ("text start", text)]);
    let offsets = ["names", "units", "files at", "tables", "records"]
        .map(|name| crafted_file.put(name, 8, 0));
    let mut names = Vec::new();
    let place = |crafted_file: &mut CraftedFile, number: usize, bytes: &[u8]| {
        crafted_file.align(8);
        crafted_file.set(offsets[number], 8, crafted_file.len());
        crafted_file.raw(bytes);
    };
    let mut all_names = Vec::new();
    for name in FUNCTIONS {
        names.push(all_names.len() as u64);
        all_names.extend_from_slice(name.as_bytes());
        all_names.push(0);
    }
    place(&mut crafted_file, 0, &all_names);
    place(&mut crafted_file, 1, &[0; 4]);
    place(&mut crafted_file, 2, b"main.go\0");
    place(&mut crafted_file, 3, &[0, 2, 16, 0, 4, 16, 0, 0]);
    place(&mut crafted_file, 4, &[]);
    let index = crafted_file.bytes.len();
    let mut entries = Vec::new();
    for number in 0..n {
        crafted_file.put("entry", 4, number * FUNCTION);
        entries.push(crafted_file.put("record at", 4, 0));
    }
    crafted_file.put("end", 4, TEXT as u64);
    for (number, (name, entry)) in names.iter().zip(entries).enumerate() {
        crafted_file.set(entry, 4, (crafted_file.bytes.len() - index) as u64);
        crafted_file.puts(
            4,
            &[
                ("start", number as u64 * FUNCTION),
                ("name", *name),
                ("args", 0),
                ("defer", 0),
                ("pcsp", 1),
                ("pcfile", 4),
                ("pcln", 1),
                ("pcdata", 1),
                ("unit", 0),
                ("line", 1),
            ],
        );
        crafted_file.put("kind", 1, 0);
        crafted_file.put("flag", 1, 0);
        crafted_file.raw(&[0]);
        crafted_file.put("funcdata", 1, 1);
        crafted_file.puts(4, &[("pcdata table", 4), ("funcdata at", 0)]);
    }
    crafted_file
}
