//! A recording: the events of a trace as JSON lines, compressed, to be replayed anywhere.
//!
//! [`Writer`] and [`Reader`] turn events into bytes and back, over whatever they are given to write to or read from; files are
//! the rim's. What is recorded was redacted before. A damaged or cut recording yields what can be read and says where it
//! ends; a hostile one costs no more memory than its longest line, which is limited. The format is described in
//! `docs/recording-format.md`.

mod read;
mod write;

use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;

pub use read::{Damage, OpenError, Reader, Summary};
pub use write::Writer;

/// Value of [`Header::format`].
pub const FORMAT: &str = "gotrace-recording";
/// Version that is written, and the highest that is read. It stays as long as an older reader can skip what is new.
pub const VERSION: u32 = 1;
/// Most bytes of one line, its line feed included. The longest event, an exec, stays well below: 256 KiB of strings, each byte
/// six in JSON at worst.
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
    /// CPUs that could be busy at once.
    pub cpus: u32,
    /// Bytes.
    pub page_size: u64,
    /// Wall-clock time minus boot clock when the recording began.
    pub boot_to_wall_ns: i64,
    /// The command that was followed, redacted; empty if none was.
    pub command: Vec<ByteString>,
    pub detail: Detail,
    /// Whether renames were watched: only then does the absence of one tell anything.
    #[serde(default)]
    pub renames: bool,
    /// Name of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Circumstances of a recording: what a [`Header`] says beside format and version.
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

/// How much was recorded, each with all before it.
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
    /// The kernel side's number for it.
    pub fn level(self) -> u32 {
        match self {
            Self::Process => tracer_abi::level::PROCESS,
            Self::Phase => tracer_abi::level::PHASE,
            Self::CacheKey => tracer_abi::level::CACHE_KEY,
        }
    }
}

/// Last line: without it, the recording was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    event: EndMark,
    /// Lines between the first and this.
    n_events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndMark {
    End,
}

#[cfg(test)]
mod tests;
