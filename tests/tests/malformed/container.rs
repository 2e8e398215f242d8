//! One small file of each container format, with Go's tables where the format has them.

use super::crafted_file::CraftedFile;
use super::golang::{TEXT, build_info, functions};

const BASE: u64 = 0x40_0000;
const CODE: [u8; TEXT] = [0x90; TEXT];

/// A section of a container, before its offset is fixed.
struct Section {
    name: &'static str,
    content: CraftedFile,
    is_code: bool,
}

fn sections(text: u64) -> Vec<Section> {
    let code = {
        let mut code = CraftedFile::new("code");
        code.raw(&CODE);
        code
    };
    [
        ("text", code, true),
        ("pclntab", functions(text), false),
        ("buildinfo", build_info(), false),
    ]
    .into_iter()
    .map(|(name, content, is_code)| Section {
        name,
        content,
        is_code,
    })
    .collect()
}

/// An ELF file with 64 bits, little endian, a symbol table and a build ID.
pub(super) fn elf() -> CraftedFile {
    elf_of("ELF", CraftedFile::new)
}

/// The same file in the other byte order. Its Go tables have the wrong order, which a reader must survive.
pub(super) fn elf_big() -> CraftedFile {
    elf_of("ELF big endian", CraftedFile::big)
}

/// Section header: name, kind, flags, offset, size, link, info, entry.
type Row = [u64; 8];

/// A string table.
struct Names(Vec<u8>);

impl Names {
    fn add(&mut self, text: &str) -> u64 {
        let at = self.0.len() as u64;
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        at
    }
}

fn elf_of(name: &'static str, new: impl Fn(&'static str) -> CraftedFile) -> CraftedFile {
    let mut elf = new(name);
    let table = elf_head(&mut elf, name != "ELF");
    let segments = elf.bytes.len();
    for kind in [1, 4] {
        elf.puts(4, &[("segment kind", kind), ("segment flags", 5)]);
        let place = [
            ("offset", 0),
            ("address", BASE),
            ("physical", BASE),
            ("disk", 0),
            ("memory", 0),
            ("alignment", 4096),
        ];
        elf.puts(8, &place);
    }
    let mut names = Names(b"\0".to_vec());
    let mut rows: Vec<Row> = vec![[0; 8]];
    for section in sections(BASE + 0x1000) {
        elf.align(32);
        let (full, flags) = match section.name {
            "text" => (".text", 6),
            "pclntab" => (".gopclntab", 2),
            _ => (".go.buildinfo", 2),
        };
        let size = section.content.len();
        rows.push([names.add(full), 1, flags, elf.len(), size, 0, 0, 0]);
        elf.embed(&section.content);
    }
    elf_symbols(&mut elf, &mut names, &mut rows);
    let own = names.add(".shstrtab");
    rows.push([own, 3, 0, elf.len(), names.0.len() as u64, 0, 0, 0]);
    elf.raw(&names.0);
    elf.align(8);
    elf.set(table, 8, elf.len());
    elf_table(&mut elf, segments, &rows);
    elf
}

/// Writes the ELF header; returns the position of the offset of the section table.
fn elf_head(elf: &mut CraftedFile, is_big: bool) -> usize {
    elf.raw(b"\x7fELF");
    elf.put("class", 1, 2);
    elf.put("order", 1, if is_big { 2 } else { 1 });
    elf.put("version", 1, 1);
    elf.raw(&[0; 9]);
    elf.puts(2, &[("type", 2), ("machine", if is_big { 21 } else { 62 })]);
    elf.put("version", 4, 1);
    elf.puts(8, &[("start", BASE + 0x1000), ("segments at", 64)]);
    let table = elf.put("sections at", 8, 0);
    elf.put("flags", 4, 0);
    elf.puts(
        2,
        &[
            ("header size", 64),
            ("segment size", 56),
            ("segments", 2),
            ("section size", 64),
            ("sections", 8),
            ("names", 7),
        ],
    );
    table
}

/// Writes the build ID, the symbols and their names.
fn elf_symbols(elf: &mut CraftedFile, names: &mut Names, rows: &mut Vec<Row>) {
    elf.align(8);
    let note = elf.len();
    elf.puts(
        4,
        &[("owner length", 4), ("note length", 8), ("note kind", 4)],
    );
    elf.raw(b"Go\0\0act/cont");
    let size = elf.len() - note;
    rows.push([names.add(".note.go.buildid"), 7, 2, note, size, 0, 0, 0]);
    let symbols = elf.len();
    for (text, value) in [(0, 0), (1, BASE + 0x1000), (11, BASE + 0x1010)] {
        elf.put("symbol name", 4, text);
        elf.put("symbol kind", 1, 2);
        elf.put("symbol other", 1, 0);
        elf.put("symbol section", 2, 1);
        elf.puts(8, &[("symbol value", value), ("symbol size", 16)]);
    }
    let size = elf.len() - symbols;
    rows.push([names.add(".symtab"), 2, 0, symbols, size, 6, 1, 24]);
    let strings = elf.len();
    elf.raw(b"\0main.main\0main.init\0");
    let size = elf.len() - strings;
    rows.push([names.add(".strtab"), 3, 0, strings, size, 0, 0, 0]);
}

/// Writes the section table, and the segments' sizes.
fn elf_table(elf: &mut CraftedFile, segments: usize, rows: &[Row]) {
    for (number, row) in rows.iter().enumerate() {
        let [name, kind, flags, offset, size, link, info, entry] = *row;
        let address = match (flags, number) {
            (0, _) => 0,
            (_, 1) => BASE + 0x1000,
            _ => BASE + 0x2000 + offset,
        };
        elf.puts(4, &[("section name", name), ("section kind", kind)]);
        elf.puts(
            8,
            &[
                ("section flags", flags),
                ("section address", address),
                ("section at", offset),
                ("section size", size),
            ],
        );
        elf.puts(4, &[("section link", link), ("section info", info)]);
        elf.puts(8, &[("section alignment", 1), ("section entry", entry)]);
        let segment = match number {
            1 => segments + 8,
            4 => segments + 56 + 8,
            _ => continue,
        };
        elf.set(segment, 8, offset);
        elf.set(segment + 8, 8, address);
        elf.set(segment + 24, 8, size);
        elf.set(segment + 32, 8, size);
    }
}

/// A PE32+ file.
pub(super) fn pe() -> CraftedFile {
    let mut pe = CraftedFile::new("PE");
    pe.raw(b"MZ");
    pe.raw(&[0; 58]);
    pe.put("header at", 4, 64);
    pe.raw(b"PE\0\0");
    pe.puts(2, &[("machine", 0x8664), ("sections", 3)]);
    pe.puts(4, &[("time", 0), ("symbols at", 0), ("symbols", 0)]);
    pe.puts(2, &[("optional size", 240), ("characteristics", 0x22)]);
    pe.put("optional magic", 2, 0x20b);
    pe.raw(&[3, 0]);
    pe.puts(
        4,
        &[
            ("code", 512),
            ("data", 512),
            ("bss", 0),
            ("start", 0x1000),
            ("code at", 0x1000),
        ],
    );
    pe.put("base", 8, BASE);
    pe.puts(4, &[("section alignment", 4096), ("file alignment", 512)]);
    pe.raw(&[0; 16]);
    pe.puts(
        4,
        &[
            ("image size", 0x4000),
            ("headers size", 512),
            ("checksum", 0),
        ],
    );
    pe.puts(2, &[("subsystem", 3), ("dll flags", 0x8160)]);
    pe.raw(&[0; 32]);
    pe.puts(4, &[("loader flags", 0), ("directories", 16)]);
    for _ in 0..16 {
        pe.puts(4, &[("directory at", 0), ("directory size", 0)]);
    }
    let mut places = Vec::new();
    let sections = sections(BASE + 0x1000);
    for (number, Section { name, is_code, .. }) in sections.iter().enumerate() {
        let name: &[u8; 8] = match *name {
            "text" => b".text\0\0\0",
            "pclntab" => b".rdata\0\0",
            _ => b".data\0\0\0",
        };
        pe.raw(name);
        let virtual_size = pe.put("virtual size", 4, 0);
        pe.put("virtual address", 4, 0x1000 * (number as u64 + 1));
        let size = pe.put("raw size", 4, 0);
        let at = pe.put("raw at", 4, 0);
        pe.puts(4, &[("relocations", 0), ("lines", 0), ("counts", 0)]);
        pe.put(
            "section flags",
            4,
            if *is_code { 0x6000_0020 } else { 0xc000_0040 },
        );
        places.push((virtual_size, size, at));
    }
    for (Section { content, .. }, (virtual_size, size, at)) in sections.iter().zip(places) {
        pe.align(512);
        let start = pe.len();
        pe.embed(content);
        pe.set(virtual_size, 4, content.len());
        pe.align(512);
        pe.set(size, 4, pe.len() - start);
        pe.set(at, 4, start);
    }
    pe
}

/// A Mach-O file with 64 bits.
pub(super) fn macho() -> CraftedFile {
    let mut macho = CraftedFile::new("Mach-O");
    macho.puts(
        4,
        &[
            ("magic", 0xfeed_facf),
            ("machine", 0x0100_0007),
            ("submachine", 3),
            ("kind", 2),
            ("commands", 2),
            ("commands size", 72 + 3 * 80 + 24),
            ("flags", 0),
        ],
    );
    macho.raw(&[0; 4]);
    macho.puts(4, &[("command", 0x19), ("command size", 72 + 3 * 80)]);
    macho.raw(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
    macho.put("address", 8, BASE);
    macho.put("memory", 8, 0x4000);
    macho.put("at", 8, 0);
    let disk = macho.put("disk", 8, 0);
    macho.puts(
        4,
        &[
            ("most", 7),
            ("initial", 5),
            ("sections", 3),
            ("segment flags", 0),
        ],
    );
    let sections = sections(BASE + 0x1000);
    let mut places = Vec::new();
    for (
        number,
        Section {
            name,
            content,
            is_code,
        },
    ) in sections.iter().enumerate()
    {
        let name: &[u8; 16] = match *name {
            "text" => b"__text\0\0\0\0\0\0\0\0\0\0",
            "pclntab" => b"__gopclntab\0\0\0\0\0",
            _ => b"__go_buildinfo\0\0",
        };
        macho.raw(name);
        macho.raw(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
        macho.put("section address", 8, BASE + 0x1000 * (number as u64 + 1));
        macho.put("section size", 8, content.len());
        places.push(macho.put("section at", 4, 0));
        macho.puts(
            4,
            &[("alignment", 5), ("relocations", 0), ("n relocations", 0)],
        );
        macho.put("section flags", 4, if *is_code { 0x8000_0400 } else { 0 });
        macho.raw(&[0; 12]);
    }
    macho.puts(4, &[("command", 2), ("command size", 24)]);
    let symbols = macho.put("symbols at", 4, 0);
    macho.put("symbols", 4, 2);
    let strings = macho.put("strings at", 4, 0);
    macho.put("strings size", 4, 21);
    for (Section { content, .. }, place) in sections.iter().zip(places) {
        macho.align(32);
        macho.set(place, 4, macho.len());
        macho.embed(content);
    }
    macho.align(8);
    macho.set(symbols, 4, macho.len());
    for (name, value) in [(1, 0x1000), (11, 0x1010)] {
        macho.put("symbol name", 4, name);
        macho.puts(1, &[("symbol kind", 0xe), ("symbol section", 1)]);
        macho.put("symbol flags", 2, 0);
        macho.put("symbol value", 8, BASE + value);
    }
    macho.set(strings, 4, macho.len());
    macho.raw(b"\0main.main\0main.init\0");
    macho.set(disk, 8, macho.len());
    macho
}

/// A fat file for two machines; the second part is the same image.
pub(super) fn fat() -> CraftedFile {
    let inner = macho();
    let mut fat = CraftedFile::big("fat Mach-O");
    fat.puts(4, &[("magic", 0xcafe_babe), ("machines", 2)]);
    let mut places = Vec::new();
    for machine in [0x0100_0007, 0x0100_000c] {
        fat.puts(4, &[("machine", machine), ("submachine", 3)]);
        places.push(fat.put("slice at", 4, 0));
        fat.puts(4, &[("slice size", inner.len()), ("alignment", 6)]);
    }
    for place in places {
        fat.align(64);
        fat.set(place, 4, fat.len());
        fat.embed(&inner);
    }
    fat
}

/// A wasm file with types, functions, code, data in two segments, and names.
pub(super) fn wasm() -> CraftedFile {
    let mut wasm = CraftedFile::new("wasm");
    wasm.raw(b"\0asm");
    wasm.put("version", 4, 1);
    let mut section = |id: u64, fill: &dyn Fn(&mut CraftedFile)| {
        let mut inner = CraftedFile::new("section");
        fill(&mut inner);
        wasm.put("section", 1, id);
        wasm.leb("section length", inner.bytes.len());
        wasm.embed(&inner);
    };
    section(1, &|it| {
        it.leb("types", 1);
        it.raw(&[0x60]);
        it.leb("parameters", 0);
        it.leb("results", 0);
    });
    section(3, &|it| {
        it.leb("functions", 2);
        it.leb("type", 0);
        it.leb("type", 0);
    });
    section(5, &|it| {
        it.leb("memories", 1);
        it.raw(&[0]);
        it.leb("pages", 1);
    });
    section(10, &|it| {
        it.leb("bodies", 2);
        it.counted("body length", &[0, 0x0b]);
        it.counted("body length", &[0, 0x01, 0x0b]);
    });
    section(11, &|it| {
        it.leb("pieces", 2);
        for at in [64, 0x2000] {
            it.leb("piece kind", 0);
            it.raw(&[0x41]);
            it.leb("piece at", at);
            it.raw(&[0x0b]);
            let content = build_info();
            it.leb("piece length", content.bytes.len());
            it.embed(&content);
        }
    });
    section(0, &|it| {
        it.counted("custom length", b"name");
        it.leb("subsection", 1);
        let mut names = CraftedFile::new("names");
        names.leb("names", 2);
        for (number, name) in ["main.main", "runtime.main"].into_iter().enumerate() {
            names.leb("number", number);
            names.counted("name length", name.as_bytes());
        }
        it.leb("subsection length", names.bytes.len());
        it.embed(&names);
    });
    section(0, &|it| {
        it.counted("custom length", b"go:buildid");
        it.raw(b"act/cont");
    });
    wasm
}

/// An archive with an object, a table of long names, and a member with a long name.
pub(super) fn archive() -> CraftedFile {
    let mut archive = CraftedFile::new("archive");
    archive.raw(b"!<arch>\n");
    let mut member = |name: &str, content: &CraftedFile| {
        archive.align(2);
        archive.raw(format!("{name:<16}").as_bytes());
        for (field, len) in [("time", 12), ("owner", 6), ("group", 6), ("mode", 8)] {
            archive.decimal(field, len, 0);
        }
        archive.decimal("member length", 10, content.bytes.len());
        archive.raw(b"`\n");
        archive.embed(content);
    };
    let of = |text: &[u8]| {
        let mut crafted_file = CraftedFile::new("text");
        crafted_file.raw(text);
        crafted_file
    };
    let go = "go object linux amd64 go1.24.11 GOAMD64=v1\nbuild id \"act/cont\"\n\n!\n";
    member("__.PKGDEF", &of(go.as_bytes()));
    member("//", &of(b"a-member-with-a-long-name.o/\n"));
    member("/0", &elf());
    member("#1/8", &of(b"bsd-nameand content"));
    archive
}
