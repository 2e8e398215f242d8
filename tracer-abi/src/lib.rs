//! Records that the kernel programs send to user space, and the maps and globals that both sides share.
//!
//! Every record starts with [`Header`] and contains its own length, so a reader can skip an unknown kind. Integers are native-endian: the
//! object and the reader run on one machine. The layout is asserted below, so a diff shows each change of the ABI. There is no version
//! here, because the object is embedded in the reader; recordings have a version.
//!
//! This crate does not read records; `tracer_core::decode` does.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cookie;
mod end;
mod guard;
mod offsets;

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use end::{Exit, Reaped};
pub use guard::{Guard, Text};
pub use offsets::Offsets;

/// Names of the maps in the object.
pub mod map {
    /// Ring buffer that carries every record.
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array of [`crate::Tally`], indexed by [`crate::Kind`].
    pub const TALLIES: &str = "TALLIES";
    /// Hash from tgid to [`crate::Ours`]: the traced processes.
    pub const OURS: &str = "OURS";
    /// Array of [`crate::Spec`], indexed by the low 16 bits of a probe's cookie.
    pub const SPECS: &str = "SPECS";
    /// Array of [`crate::Prefix`]. A span is recorded only if the first text of the call that opens it has one of these prefixes. The first
    /// element without a mask ends the list; an empty list records all spans.
    pub const PREFIXES: &str = "PREFIXES";
    /// Array of [`crate::Name`]. A process that is not traced yet is traced from the exec by which it gets one of these names. The first
    /// empty element ends the list.
    pub const NAMES: &str = "NAMES";
    /// Array of one `u32`: the highest [`crate::Spec::level`] that is recorded. User space changes it at run time.
    pub const DETAIL: &str = "DETAIL";
    /// Array of `u64`, a set of bits: the probed files ([`crate::Call::target`], modulo [`crate::TARGETS`]) whose probes are being detached
    /// or were detached. User space changes it at run time.
    pub const RELEASED: &str = "RELEASED";
    /// Array of scratch space: one element per possible CPU, or two if the programs have backups. The size is set when the object is
    /// loaded.
    pub const SCRATCH: &str = "SCRATCH";
}

/// Most bytes of argv, and of the environment, that one [`Exec`] carries.
pub const BLOCK_MAX: usize = 128 << 10;
/// Most bytes of one path.
pub const PATH_MAX: usize = 4096;
/// Most path components that are walked from a directory to its root.
pub const DEPTH_MAX: usize = 64;
/// Captures of one probe.
pub const CAPTURES: usize = 4;
/// Most bytes of text in a short slot of a [`Call`]. A longer text takes a larger slot.
pub const TEXT_SHORT: usize = 256;
/// Most bytes of several texts that one [`Call`] carries. A longer single text takes a larger slot.
pub const TEXT_MAX: usize = 4096;
/// Most bytes of a single text in the next larger slot of a [`Call`].
pub const TEXT_LONG: usize = 32 << 10;
/// Most bytes of a single text that one [`Call`] carries: a line with all modules of a program.
pub const TEXT_LONGEST: usize = 128 << 10;
/// Rows of the table of probe specifications.
pub const SPECS_MAX: usize = 128;
/// Probed files that can be distinguished at one time: bits of [`map::RELEASED`].
pub const TARGETS: u32 = 1 << 16;
/// Elements of [`map::PREFIXES`].
pub const PREFIXES_MAX: usize = 8;
/// Words of a [`Prefix`].
pub const PREFIX_WORDS: usize = 3;
/// Most ancestors that one [`Lineage`] names.
pub const LINEAGE_MAX: usize = 8;
/// Elements of [`map::NAMES`].
pub const NAMES_MAX: usize = 8;

/// Wire tag of a record. A newtype, not an `enum`: any bit pattern may be held, but only known ones may be decoded.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Kind(pub u16);

impl Kind {
    /// A process forked: [`Fork`].
    pub const FORK: Self = Self(1);
    /// A process executed a program: [`Exec`].
    pub const EXEC: Self = Self(2);
    /// The last thread of a process exits: [`Exit`].
    pub const EXIT: Self = Self(3);
    /// A file was renamed, or a rename failed: [`Rename`].
    pub const RENAME: Self = Self(4);
    /// A probed function of a toolchain was called: [`Call`].
    pub const CALL: Self = Self(5);
    /// A process could not be added to the set of traced processes. Only counted, never sent.
    pub const TRACK: Self = Self(6);
    /// A process is traced from now on because of its name; the record names its ancestors: [`Lineage`].
    pub const LINEAGE: Self = Self(7);
    /// The kernel releases a process whose exit was sent: [`Reaped`].
    pub const REAPED: Self = Self(8);
    /// One more than the highest kind: the length of [`map::TALLIES`].
    pub const COUNT: u32 = 9;

    /// The name of the kind in counters and in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FORK => "fork",
            Self::EXEC => "exec",
            Self::EXIT => "exit",
            Self::RENAME => "rename",
            Self::CALL => "call",
            Self::TRACK => "track",
            Self::LINEAGE => "lineage",
            Self::REAPED => "reaped",
            _ => "unknown",
        }
    }
}

/// The first part of every record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// The kind of the record.
    pub kind: Kind,
    /// The CPU on which the record was made.
    pub cpu: u16,
    /// Length of the whole record in bytes, including this header.
    pub len: u32,
    /// `bpf_ktime_get_boot_ns` when the record was made: nanoseconds since boot, including suspend.
    pub ktime_ns: u64,
    /// `start_boottime` of the thread group's leader. Together with `tgid` it names one process for ever.
    pub born_ns: u64,
    /// Thread group (called pid in user space), as the initial pid namespace numbers it.
    pub tgid: u32,
    /// Thread (called pid in the kernel).
    pub tid: u32,
}
const _: () = assert!(size_of::<Header>() == 32);

/// A process forked. Threads are not reported.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fork {
    /// Header of the parent.
    pub header: Header,
    /// `start_boottime` of the child.
    pub child_born_ns: u64,
    /// Thread group of the child.
    pub child: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Fork>() == 48);

/// A process executed a program. The record is followed by `argv_len` bytes of argv (NUL after each) and `env_len` bytes of the environment
/// (same form). Then come `cwd_len` and `exe_len` bytes of path.
///
/// A path consists of its components from the last to the first, each with a NUL after it and without slashes. `go\0bin\0usr\0` is
/// `/usr/bin/go`; zero bytes and no flag is `/`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// The process, after the exec.
    pub header: Header,
    /// Inode number of the program.
    pub ino: u64,
    /// Size of the program file in bytes.
    pub size: u64,
    /// Time of the last status change of the program file, nanoseconds since 1970.
    pub ctime_ns: u64,
    /// `bpf_get_current_cgroup_id`: the cgroup v2 id. On a machine that uses v1 only, the id of the root.
    pub cgroup: u64,
    /// Device of the program file, in the kernel's own `(major << 20) | minor` form.
    pub dev: u32,
    /// Effective user id, as the initial user namespace numbers it.
    pub uid: u32,
    /// Bytes of argv that follow.
    pub argv_len: u32,
    /// Bytes of argv in the process.
    pub argv_total: u32,
    /// Bytes of environment that follow.
    pub env_len: u32,
    /// Bytes of environment in the process.
    pub env_total: u32,
    /// Bytes of working directory that follow.
    pub cwd_len: u32,
    /// Bytes of program path that follow.
    pub exe_len: u32,
    /// Bits such as [`Exec::CWD_CUT`].
    pub flags: u32,
    /// Thread group of the parent at this moment.
    pub parent: u32,
}
const _: () = assert!(size_of::<Exec>() == 104);

impl Exec {
    /// The working directory lies deeper than [`DEPTH_MAX`] or is longer than [`PATH_MAX`]; its end was kept.
    pub const CWD_CUT: u32 = 1;
    /// The program's path lies deeper than [`DEPTH_MAX`] or is longer than [`PATH_MAX`]; its end was kept.
    pub const EXE_CUT: u32 = 1 << 1;
    /// argv could not be read.
    pub const ARGV_UNREADABLE: u32 = 1 << 2;
    /// The environment could not be read.
    pub const ENV_UNREADABLE: u32 = 1 << 3;
    /// The working directory could not be read.
    pub const CWD_UNREADABLE: u32 = 1 << 4;
    /// The program's path could not be read.
    pub const EXE_UNREADABLE: u32 = 1 << 5;
}

/// The ancestors of a process that is traced because of its name, at that moment: the kernel forgets them when they are gone. Sent after
/// the [`Exec`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lineage {
    /// The process, after the exec.
    pub header: Header,
    /// The number of ancestors. The first process of a machine is not counted.
    pub n: u32,
    /// Zero.
    pub pad: u32,
    /// The ancestors, nearest first.
    pub above: [Above; LINEAGE_MAX],
}
const _: () = assert!(size_of::<Lineage>() == 296);

/// An ancestor of a process.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Above {
    /// `start_boottime` of its leader.
    pub born_ns: u64,
    /// Its name in the kernel, with a NUL at the end: the first 15 bytes of its program's file name, or a name that it set itself.
    pub name: [u8; 16],
    /// Its thread group.
    pub tgid: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Above>() == 32);

/// A file was renamed, or a rename failed. Followed by `old_len` and `new_len` bytes of path as the caller gave them.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rename {
    /// The calling process.
    pub header: Header,
    /// The result of the system call: 0, or a negative errno.
    pub ret: i64,
    /// Directory descriptor that `old` is relative to; `AT_FDCWD` (-100) for the working directory.
    pub old_dir: i32,
    /// Directory descriptor that `new` is relative to.
    pub new_dir: i32,
    /// Bytes of old path that follow, without NUL.
    pub old_len: u32,
    /// Bytes of new path that follow, without NUL.
    pub new_len: u32,
}
const _: () = assert!(size_of::<Rename>() == 56);

/// A probed function was called. Followed by the text of each capture, one after another.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// The calling process.
    pub header: Header,
    /// Address of the running goroutine's `g`.
    pub goroutine: u64,
    /// Value of each capture: a register or a word; the address if the capture is a text.
    pub value: [u64; CAPTURES],
    /// Length in bytes of each capture's text; zero for a capture that is not a text.
    pub text_total: [u32; CAPTURES],
    /// Bytes of each capture's text that follow.
    pub text_len: [u32; CAPTURES],
    /// The probed file that this hit belongs to: the high bits of the cookie.
    pub target: u32,
    /// Index of the probe in [`map::SPECS`].
    pub spec: u16,
    /// Bit i: capture i could not be read.
    pub missing: u16,
}
const _: () = assert!(size_of::<Call>() == 112);

/// Describes one capture: a register, or memory that it points to.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Capture {
    /// One of the constants of this type.
    pub op: u8,
    /// Integer argument (0 to 8, in the order of Go's register ABI) that holds the value or the first pointer.
    pub arg: u8,
    /// Integer argument that holds the length or the count, for [`Capture::TEXT`] and [`Capture::TEXTS`].
    pub len_arg: u8,
    /// The number of offsets that are followed before the last one.
    pub hops: u8,
    /// Byte offsets. Each one in use, except the last, leads to the next pointer.
    pub offset: [u32; 3],
}
const _: () = assert!(size_of::<Capture>() == 16);

impl Capture {
    /// No capture.
    pub const NONE: u8 = 0;
    /// The argument itself.
    pub const WORD: u8 = 1;
    /// A Go string whose pointer is `arg` and whose length is `len_arg`.
    pub const TEXT: u8 = 2;
    /// A slice of Go strings whose pointer is `arg` and whose length is `len_arg`; at most four, joined by `:`.
    pub const TEXTS: u8 = 3;
    /// The 64-bit word at the end of the pointer chain `arg`, `offset`.
    pub const WORD_AT: u8 = 4;
    /// The Go string whose header is at the end of the pointer chain.
    pub const TEXT_AT: u8 = 5;
}

/// The work of the kernel side at one probe. It contains nothing about Go except the location of arguments.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Spec {
    /// Lowest level of detail at which this probe records; see [`map::DETAIL`].
    pub level: u32,
    /// Captures in use.
    pub n_captures: u32,
    /// The captures.
    pub captures: [Capture; CAPTURES],
    /// One of [`span`].
    pub span: u32,
    /// Zero.
    pub pad: u32,
    /// Selects calls that are never recorded.
    pub guard: Guard,
}
const _: () = assert!(size_of::<Spec>() == 128);

/// The role of a probe in spans. Spans nest within a goroutine.
pub mod span {
    /// No role.
    pub const NONE: u32 = 0;
    /// The call opens a span. It is recorded if its first text has one of [`crate::map::PREFIXES`].
    pub const OPENS: u32 = 1;
    /// The call closes the innermost span. It is recorded if the opening call was.
    pub const CLOSES: u32 = 2;
}

/// The start of a text, as native-endian words, and a mask of the bits to compare.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Prefix {
    /// The bytes of the prefix, then zeroes.
    pub word: [u64; PREFIX_WORDS],
    /// All ones for each byte in use.
    pub mask: [u64; PREFIX_WORDS],
}
const _: () = assert!(size_of::<Prefix>() == 48);

impl Prefix {
    /// The prefix of a text; at most its first 24 bytes are compared.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut prefix = Self::default();
        let words = prefix.word.iter_mut().zip(&mut prefix.mask);
        for (bytes, (word, mask)) in text.chunks(size_of::<u64>()).zip(words) {
            let (mut used, mut ones) = ([0; size_of::<u64>()], [0; size_of::<u64>()]);
            for (byte, (used, one)) in bytes.iter().zip(used.iter_mut().zip(&mut ones)) {
                (*used, *one) = (*byte, u8::MAX);
            }
            (*word, *mask) = (u64::from_ne_bytes(used), u64::from_ne_bytes(ones));
        }
        prefix
    }

    /// True if a text has this prefix. `text` contains its first words, with zeroes after its end.
    #[must_use]
    #[inline]
    pub fn begins(&self, text: &[u64; PREFIX_WORDS]) -> bool {
        let [a, b, c] = text;
        let (word, mask) = (&self.word, &self.mask);
        a & mask[0] == word[0] && b & mask[1] == word[1] && c & mask[2] == word[2]
    }
}

/// Name of a program as the kernel stores it for a process: the first 15 bytes of the last part of its path, then zeroes. Held as
/// native-endian words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Name(pub [u64; 2]);
const _: () = assert!(size_of::<Name>() == 16);

impl Name {
    /// The name that the kernel stores for a program with this file name.
    #[must_use]
    pub fn of(file_name: &[u8]) -> Self {
        let Prefix {
            word: [first, second, _],
            mask: _,
        } = Prefix::of(file_name.get(..15).unwrap_or(file_name));
        Self([first, second])
    }
}

/// Levels of detail. Each level includes all levels before it.
pub mod level {
    /// Forks, execs, exits and renames.
    pub const PROCESS: u32 = 0;
    /// Actions of the `go` command, phases of compiler and linker, GC cycles.
    pub const PHASE: u32 = 1;
    /// Also the inputs of the `go` command's cache keys.
    pub const CACHE_KEY: u32 = 2;
}

/// Value of [`map::OURS`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ours {
    /// `start_boottime` of the leader. Zero until the first exec of a process that user space added.
    pub born_ns: u64,
    /// Probed file of the first probe hit since the last exec. Hits of other files are skipped, because they are the same call seen twice:
    /// an overlay file system shows one file under two identities. Zero: none yet.
    pub target: u32,
    /// `self_exec_id` of the process at the last exec that was seen. Another value means another exec. Zero: none yet.
    pub exec: u32,
    /// Largest resident set at the last exec, in pages; all ones until one was seen.
    pub inherited_rss_pages: u64,
    /// As in [`Exit`], of the threads that have ended.
    pub run_delay_ns: u64,
    /// As in [`Exit`], of the threads that have ended.
    pub block_io_ns: u64,
    /// Not zero if the first of the two times is unknown for one of these threads.
    pub lacks_run_delay: u32,
    /// Not zero if the second of the two times is unknown for one of these threads.
    pub lacks_block_io: u32,
}
const _: () = assert!(size_of::<Ours>() == 48);

impl Ours {
    /// A process of which nothing has been seen.
    pub const NEW: Self = Self {
        born_ns: 0,
        target: 0,
        exec: 0,
        inherited_rss_pages: u64::MAX,
        run_delay_ns: 0,
        block_io_ns: 0,
        lacks_run_delay: 0,
        lacks_block_io: 0,
    };
}

/// Value of [`map::TALLIES`]: `seen = sent + lost` for each kind.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tally {
    /// Records that should have been sent.
    pub seen: u64,
    /// Records for which the ring buffer had no room, and calls that a [`Guard`] could not check.
    pub lost: u64,
}
const _: () = assert!(size_of::<Tally>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    /// The words as the kernel side reads them.
    fn words(text: &[u8]) -> [u64; PREFIX_WORDS] {
        Prefix::of(text).word
    }

    #[test]
    fn a_name_is_truncated_as_in_the_kernel() {
        assert_eq!(
            Name::of(b"go").as_bytes(),
            b"go\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        );
        assert_eq!(
            Name::of(b"a-rather-long-name").as_bytes(),
            b"a-rather-long-n\0"
        );
    }

    #[test]
    fn a_prefix_matches_texts_that_begin_with_it() {
        let prefix = Prefix::of(b"Executing action");
        assert!(prefix.begins(&words(b"Executing action (build fmt)")));
        assert!(prefix.begins(&words(b"Executing action")));
        assert!(!prefix.begins(&words(b"Executing actio")));
        assert!(!prefix.begins(&words(b"executing action")));
        assert!(!prefix.begins(&words(b"")));
        let long = Prefix::of(b"0123456789abcdef01234567 and more");
        assert!(long.begins(&words(b"0123456789abcdef01234567 or less")));
        assert!(!long.begins(&words(b"0123456789abcdef0123456")));
    }
}
