//! Every limit of this crate in one table, with the effect of exceeding it.
//!
//! A limit guards memory and time against a hostile file. No memory is allocated by a count in the file before the
//! count is checked. The check is against a limit here or against the file's own length.

/// Larger files are refused: positions inside a file are kept in 32 bits.
pub const FILE: u64 = u32::MAX as u64;
/// Sections above this number are left out and noted.
pub const SECTIONS: usize = 16_384;
/// Segments above this number are left out and noted.
pub const SEGMENTS: usize = 4_096;
/// Symbols above this number are left out and noted.
pub const SYMBOLS: usize = 2_000_000;
/// Functions read from the program counter table above this number are left out and noted.
pub const FUNCTIONS: usize = 2_000_000;
/// Type descriptors above this number are left out and noted.
pub const TYPES: usize = 1_000_000;
/// Fields, methods, names and references of all type descriptors together; the rest is left out and noted.
pub const TYPE_PARTS: usize = 4_000_000;
/// Embedded files above this number are left out and noted.
pub const EMBEDS: usize = 100_000;
/// Members of an archive (or slices of a fat file) above this number are left out and noted.
pub const MEMBERS: usize = 65_536;
/// Members of an archive that are themselves opened; the rest is counted by size only.
pub const PARTS: usize = 1_024;
/// Attributions above this number are dropped and noted; their bytes stay unattributed.
pub const ATTRIBUTIONS: usize = 8_000_000;
/// Length of the longest symbol name; longer names are cut.
pub const NAME: usize = 4_096;
/// Length of the longest section name; longer names are cut.
pub const SECTION_NAME: usize = 256;
/// Length of the longest module information text that is read from a file.
pub const BUILD_INFO: u64 = 16 << 20;
/// The linear memory of a wasm file is rebuilt only if it is at most this much larger than the file.
pub const WASM_SLACK: u64 = 32 << 20;
/// Hashing stops when the sections, which may overlap, add up to this many times the file.
pub const SECTION_REREAD: u64 = 2;
/// Libraries that a file requests; above this number they are left out.
pub const NEEDED: usize = 1_024;
