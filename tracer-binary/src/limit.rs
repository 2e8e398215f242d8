//! Every limit of this crate in one table, with what happens when it is exceeded.
//!
//! A limit guards memory and time against a hostile file. Nothing is allocated from a count that the
//! file claims before that count was held against a limit here or against the file's own length.

/// Files above this are refused: positions inside a file are kept in 32 bits.
pub const FILE: u64 = u32::MAX as u64;
/// Sections above this are left out and noted.
pub const SECTIONS: usize = 16_384;
/// Segments above this are left out and noted.
pub const SEGMENTS: usize = 4_096;
/// Symbols above this are left out and noted.
pub const SYMBOLS: usize = 2_000_000;
/// Functions read from the program counter table above this are left out and noted.
pub const FUNCTIONS: usize = 2_000_000;
/// Type descriptors above this are left out and noted.
pub const TYPES: usize = 1_000_000;
/// Fields, methods, names and references of all type descriptors together; the rest is left out and noted.
pub const TYPE_PARTS: usize = 4_000_000;
/// Embedded files above this are left out and noted.
pub const EMBEDS: usize = 100_000;
/// Members of an archive (or slices of a fat file) above this are left out and noted.
pub const MEMBERS: usize = 65_536;
/// Members of an archive that are themselves opened; the rest is counted by size only.
pub const PARTS: usize = 1_024;
/// Claims on ranges of the file above this are dropped: their bytes stay unattributed, and it is noted.
pub const CLAIMS: usize = 8_000_000;
/// Longest symbol name read; longer ones are cut.
pub const NAME: usize = 4_096;
/// Longest section name read; longer ones are cut.
pub const SECTION_NAME: usize = 256;
/// Longest module information text read from a file.
pub const BUILD_INFO: u64 = 16 << 20;
/// Linear memory of a wasm file is rebuilt only when it is at most this much larger than the file.
pub const WASM_SLACK: u64 = 32 << 20;
/// Sections may overlap; hashing stops when they add up to this many times the file.
pub const SECTION_REREAD: u64 = 2;
/// Libraries a file asks for; above this they are left out.
pub const NEEDED: usize = 1_024;
