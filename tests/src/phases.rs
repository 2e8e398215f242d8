//! Phases of a compilation and of a link, by Go version, on Linux. Each list was copied from the tools' own output (`compile
//! -bench`, `link -benchmark=cpu`); no list comes from gotrace.

/// Phases of a compilation that succeeds, in order.
pub fn compile_phases(minor: u32) -> Vec<&'static str> {
    let inlining: &[&str] = match minor {
        ..=19 => &["fe:inlining"],
        20..=21 => &[
            "fe:pgo-load-profile",
            "fe:pgo-devirtualization",
            "fe:inlining",
        ],
        22.. => &["fe:pgo-load-profile", "fe:devirtualize-and-inline"],
    };
    [
        &["fe:init", "fe:loadsys", "fe:parse"],
        inlining,
        &["fe:escapes", "be:compilefuncs", "be:dumpobj"],
    ]
    .concat()
}

/// Phases of a link that succeeds, in order.
pub fn link_phases(minor: u32) -> Vec<&'static str> {
    let mut phases = Vec::from(LINK_PHASES);
    phases.retain(|it| match *it {
        "inittasks" => minor >= 21,
        "typelink" => minor <= 26,
        _ => true,
    });
    phases
}

/// Phases of all versions.
const LINK_PHASES: [&str; 34] = [
    "libinit",
    "computeTLSOffset",
    "Archinit",
    "loadlib",
    "inittasks",
    "deadcode",
    "linksetup",
    "dostrdata",
    "dwarfGenerateDebugInfo",
    "callgraph",
    "doStackCheck",
    "mangleTypeSym",
    "doelf",
    "textbuildid",
    "addexport",
    "Gentext",
    "textaddress",
    "typelink",
    "buildinfo",
    "pclntab",
    "findfunctab",
    "dwarfGenerateDebugSyms",
    "symtab",
    "dodata",
    "address",
    "dwarfcompress",
    "layout",
    "Asmb",
    "GenSymsLate",
    "Asmb2",
    "Munmap",
    "hostlink",
    "Flush",
    "archive",
];
