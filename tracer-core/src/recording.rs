//! A recording: the events of a trace as compressed JSON lines, for replay on any machine.
//!
//! [`Writer`] and [`Reader`] convert events to bytes and back, over any writer or reader; the rim opens the files. Events are redacted
//! before they are recorded. A damaged or cut recording yields its readable part and the reason of its end. A hostile recording costs no
//! more memory than its longest line, which is limited. `docs/recording-format.md` describes the format.

mod read;
mod write;

use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;

pub use read::{Damage, OpenError, Reader, Summary};
pub use write::Writer;

/// Value of [`Header::format`].
pub const FORMAT: &str = "gotrace-recording";
/// The version that is written, and the highest that is read. It stays the same as long as an older reader can skip additions.
pub const VERSION: u32 = 1;
/// Most bytes of one line, including its line feed. The longest event, an exec, stays well below: 256 KiB of strings, and each byte takes
/// at most six in JSON.
pub const LINE_MAX: usize = 4 << 20;

/// First line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Version of gotrace.
    pub gotrace: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Architecture, as Rust names it.
    pub arch: String,
    /// Number of CPUs that could be busy at once.
    pub cpus: u32,
    /// In bytes.
    pub page_size: u64,
    /// Wall-clock time minus boot clock when the recording began.
    pub boot_to_wall_ns: i64,
    /// The traced command, redacted; empty if there was none.
    pub command: Vec<ByteString>,
    pub detail: Detail,
    /// True if renames were recorded. Only then does a missing rename have a meaning.
    #[serde(default)]
    pub renames: bool,
    /// Name of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// The circumstances of a recording: the fields of a [`Header`] besides format and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub gotrace: String,
    pub kernel: String,
    pub arch: String,
    pub cpus: u32,
    pub page_size: u64,
    pub boot_to_wall_ns: i64,
    pub command: Vec<ByteString>,
    pub detail: Detail,
    pub renames: bool,
    pub host: Option<String>,
}

/// The level of detail of a recording. Each level includes all levels before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    Process,
    Phase,
    /// The command line and the configuration write it with a dash.
    #[serde(alias = "cache-key")]
    CacheKey,
}

impl Header {
    /// A header of the present version.
    pub fn new(about: About) -> Self {
        let About {
            gotrace,
            kernel,
            arch,
            cpus,
            page_size,
            boot_to_wall_ns,
            command,
            detail,
            renames,
            host,
        } = about;
        let (format, version) = (FORMAT.to_owned(), VERSION);
        Self {
            format,
            version,
            gotrace,
            kernel,
            arch,
            cpus,
            page_size,
            boot_to_wall_ns,
            command,
            detail,
            renames,
            host,
        }
    }
}

impl Detail {
    /// The number of this level on the kernel side.
    pub fn level(self) -> u32 {
        match self {
            Self::Process => tracer_abi::level::PROCESS,
            Self::Phase => tracer_abi::level::PHASE,
            Self::CacheKey => tracer_abi::level::CACHE_KEY,
        }
    }
}

/// Last line of a recording. A recording without it was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EndLine {
    event: EndMark,
    /// Number of lines between the first line and this one.
    n_events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndMark {
    End,
}

#[cfg(test)]
mod tests;
