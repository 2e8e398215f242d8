//! Records that the kernel programs send to user space, and the maps and globals both sides share.
//!
//! Every record starts with [`Header`] and says its own length, so a reader can step over a kind it does not know.
//! Integers are native-endian: object and reader run on one machine. The layout is asserted below, so a change of the
//! ABI shows up in a diff. There is no version here (the object is embedded in the reader); recordings have one.
//!
//! Nothing in this crate reads a record; meaning is given by `tracer_core::decode`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cookie;
mod guard;
mod offsets;

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use guard::Guard;
pub use offsets::Offsets;

/// Names of the maps, as in the object.
pub mod map {
    /// Ring buffer that carries every record.
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array of [`crate::Tally`], indexed by [`crate::Kind`].
    pub const TALLIES: &str = "TALLIES";
    /// Hash from tgid to [`crate::Ours`]: the processes that are followed.
    pub const OURS: &str = "OURS";
    /// Array of [`crate::Spec`], indexed by the low 16 bits of a probe's cookie.
    pub const SPECS: &str = "SPECS";
    /// Array of [`crate::Prefix`]: what the first text of a call that opens a span begins with; other spans are not recorded.
    /// The first element without a mask ends the list; an empty list records all.
    pub const PREFIXES: &str = "PREFIXES";
    /// Array of [`crate::Name`]: a process that nobody follows yet is followed from the exec on by which it gets one of these names.
    /// The first empty element ends the list.
    pub const NAMES: &str = "NAMES";
    /// Array of one `u32`: the highest [`crate::Spec::level`] that is recorded. Changed at run time.
    pub const DETAIL: &str = "DETAIL";
    /// Array of `u64`, a set of bits: the probed files ([`crate::Call::target`], modulo [`crate::TARGETS`]) that are being let go, or
    /// were. Changed at run time.
    pub const RELEASED: &str = "RELEASED";
    /// Array of scratch space, one element per possible CPU, or two where programs are there twice; its size is set when the object is
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
/// Most bytes of text that one [`Call`] carries when it is a short one; a longer one takes a larger slot.
pub const TEXT_SHORT: usize = 256;
/// Most bytes of text that one [`Call`] carries at all.
pub const TEXT_MAX: usize = 4096;
/// Probes in the specification table.
pub const SPECS_MAX: usize = 128;
/// Probed files that are told apart at a time: bits of [`map::RELEASED`].
pub const TARGETS: u32 = 1 << 16;
/// Elements of [`map::PREFIXES`].
pub const PREFIXES_MAX: usize = 8;
/// Words of a [`Prefix`].
pub const PREFIX_WORDS: usize = 3;
/// Most processes above another that are named.
pub const LINEAGE_MAX: usize = 8;
/// Elements of [`map::NAMES`].
pub const NAMES_MAX: usize = 8;

/// Wire tag of a record. A newtype, not an `enum`: any bit pattern may be held, only known ones may be decoded.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Kind(pub u16);

impl Kind {
    /// A process made another: [`Fork`].
    pub const FORK: Self = Self(1);
    /// A process became another program: [`Exec`].
    pub const EXEC: Self = Self(2);
    /// The last thread of a process is gone: [`Exit`].
    pub const EXIT: Self = Self(3);
    /// A file was renamed, or that was tried: [`Rename`].
    pub const RENAME: Self = Self(4);
    /// A probed function of a toolchain was called: [`Call`].
    pub const CALL: Self = Self(5);
    /// A process could not be entered into the set of those that are followed. Only tallied, never sent.
    pub const TRACK: Self = Self(6);
    /// A process is followed from now on because of its name, and this is who is above it: [`Lineage`].
    pub const LINEAGE: Self = Self(7);
    /// The kernel lets go of a process whose exit was sent: [`Reaped`].
    pub const REAPED: Self = Self(8);
    /// One more than the highest kind: the length of [`map::TALLIES`].
    pub const COUNT: u32 = 9;

    /// Name as it stands in counters and in output.
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

/// First part of every record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// CPU the record was made on.
    pub cpu: u16,
    /// Length of the whole record in bytes, this header included.
    pub len: u32,
    /// `bpf_ktime_get_boot_ns` when the record was made: nanoseconds since boot, suspend included.
    pub ktime_ns: u64,
    /// `start_boottime` of the thread group's leader; with `tgid` it names one process for ever.
    pub born_ns: u64,
    /// Thread group (what user space calls pid), as the initial pid namespace numbers it.
    pub tgid: u32,
    /// Thread (what the kernel calls pid).
    pub tid: u32,
}
const _: () = assert!(size_of::<Header>() == 32);

/// A process made another. The header is the parent's. Threads are not reported.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fork {
    /// Whose header this is: the parent.
    pub header: Header,
    /// `start_boottime` of the child.
    pub child_born_ns: u64,
    /// Thread group of the child.
    pub child: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Fork>() == 48);

/// A process became another program. Followed by `argv_len` bytes of argv (NUL after each), `env_len` of the environment
/// (same form), `cwd_len` and `exe_len` bytes of path.
///
/// A path is its components from the last to the first, a NUL after each, without slashes: `go\0bin\0usr\0` is
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
    /// `bpf_get_current_cgroup_id`: the cgroup v2 id, of the root on a machine that uses v1 only.
    pub cgroup: u64,
    /// Device of the program file, in the kernel's own `(major << 20) | minor` form.
    pub dev: u32,
    /// Effective user id, as the initial user namespace numbers it.
    pub uid: u32,
    /// Bytes of argv that follow.
    pub argv_len: u32,
    /// Bytes of argv there were.
    pub argv_total: u32,
    /// Bytes of environment that follow.
    pub env_len: u32,
    /// Bytes of environment there were.
    pub env_total: u32,
    /// Bytes of working directory that follow.
    pub cwd_len: u32,
    /// Bytes of program path that follow.
    pub exe_len: u32,
    /// [`Exec::CWD_CUT`] and its like.
    pub flags: u32,
    /// Parent's thread group at this moment.
    pub parent: u32,
}
const _: () = assert!(size_of::<Exec>() == 104);

impl Exec {
    /// The working directory lies deeper than [`DEPTH_MAX`] or is longer than [`PATH_MAX`]; its end was kept.
    pub const CWD_CUT: u32 = 1;
    /// The same of the program's path.
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

/// Who is above a process that is followed by its name, at that moment: what the kernel will forget when they are gone. Sent after the
/// [`Exec`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lineage {
    /// The process, after the exec.
    pub header: Header,
    /// How many there are; the first of a process is not among them.
    pub n: u32,
    /// Zero.
    pub pad: u32,
    /// Nearest first.
    pub above: [Above; LINEAGE_MAX],
}
const _: () = assert!(size_of::<Lineage>() == 296);

/// A process above another.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Above {
    /// `start_boottime` of its leader.
    pub born_ns: u64,
    /// What the kernel calls it: the first 15 bytes of its program's file name, or what it called itself. NUL behind.
    pub name: [u8; 16],
    /// Its thread group.
    pub tgid: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Above>() == 32);

/// The last thread of a process exits. Times are those until now: its memory is still to be freed (since Linux 6.16 all of it).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// The process.
    pub header: Header,
    /// User time of all threads as the kernel sampled it, nanoseconds; coarse (ticks) on most kernels.
    pub utime_ns: u64,
    /// System time, likewise.
    pub stime_ns: u64,
    /// Time that all threads spent on a CPU, nanoseconds; exact. `getrusage` splits this by the two above.
    pub runtime_ns: u64,
    /// Largest resident set of the process, in pages, as `getrusage` tells it: that of the programs it ran before is in it.
    pub max_rss_pages: u64,
    /// The same at its last exec: of what it ran before. All ones: not known.
    pub inherited_rss_pages: u64,
    /// Largest resident set of the address space that is left now; zero where the kernel has taken it away before (until Linux 6.15).
    pub own_rss_pages: u64,
    /// Status as `wait` gives it: signal in the low 7 bits, 0x80 for a core dump, exit code in the next 8.
    pub status: u32,
    /// Threads whose times were added up here, beside those that the kernel had added already.
    pub threads: u32,
}
const _: () = assert!(size_of::<Exit>() == 88);

/// The parent has waited for a process, and the kernel lets go of it: what it used in all. The header names that process; CPU and thread
/// are those of whoever lets go.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reaped {
    /// The process.
    pub header: Header,
    /// As in [`Exit`].
    pub utime_ns: u64,
    /// As in [`Exit`].
    pub stime_ns: u64,
    /// As in [`Exit`].
    pub runtime_ns: u64,
    /// When its parent was told of its end (`SIGCHLD`), on the clock of [`Header::ktime_ns`]; zero: it was not.
    pub ended_ns: u64,
}
const _: () = assert!(size_of::<Reaped>() == 64);

/// A file was renamed, or that was tried. Followed by `old_len` and `new_len` bytes of path as the caller gave them.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rename {
    /// The calling process.
    pub header: Header,
    /// What the system call returned: 0, or a negative errno.
    pub ret: i64,
    /// Directory descriptor that `old` is relative to, `AT_FDCWD` (-100) for the working directory.
    pub old_dir: i32,
    /// The same of `new`.
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
    /// Value of each capture: the register or word asked for; for text its address.
    pub value: [u64; CAPTURES],
    /// Bytes of each capture's text there were; zero for a capture that is no text.
    pub text_total: [u32; CAPTURES],
    /// Bytes of each capture's text that follow.
    pub text_len: [u16; CAPTURES],
    /// Which probed file this hit belongs to: the high bits of the cookie.
    pub target: u32,
    /// Index of the probe in [`map::SPECS`].
    pub spec: u16,
    /// Bit i: capture i could not be read.
    pub missing: u16,
}
const _: () = assert!(size_of::<Call>() == 104);

/// What is captured from one register or the memory it leads to.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Capture {
    /// One of the constants of this type.
    pub op: u8,
    /// Integer argument (0 to 8, in the order of Go's register ABI) that holds the value or the first pointer.
    pub arg: u8,
    /// Integer argument that holds the length or the count, for [`Capture::TEXT`] and [`Capture::TEXTS`].
    pub len_arg: u8,
    /// How many of `offset` are followed before the last one.
    pub hops: u8,
    /// Byte offsets: each but the last in use leads to the next pointer.
    pub offset: [u32; 3],
}
const _: () = assert!(size_of::<Capture>() == 16);

impl Capture {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// The argument itself.
    pub const WORD: u8 = 1;
    /// A Go string whose pointer is `arg` and whose length is `len_arg`.
    pub const TEXT: u8 = 2;
    /// A slice of Go strings whose pointer is `arg` and whose length is `len_arg`; at most four, joined by `:`.
    pub const TEXTS: u8 = 3;
    /// The 64-bit word at the end of the pointer chain `arg`, `offset`.
    pub const WORD_AT: u8 = 4;
    /// The Go string whose header stands at the end of the pointer chain.
    pub const TEXT_AT: u8 = 5;
}

/// What the kernel side does at one probe. It knows nothing of Go beyond where arguments are.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Spec {
    /// Lowest level of detail at which this probe records; see [`map::DETAIL`].
    pub level: u32,
    /// Captures in use.
    pub n_captures: u32,
    /// What to capture.
    pub captures: [Capture; CAPTURES],
    /// One of [`span`].
    pub span: u32,
    /// Zero.
    pub pad: u32,
    /// Which calls are never recorded.
    pub guard: Guard,
}
const _: () = assert!(size_of::<Spec>() == 112);

/// How a probe takes part in spans, which nest within a goroutine.
pub mod span {
    /// Not at all.
    pub const NONE: u32 = 0;
    /// It opens one. Recorded if its first text begins with one of [`crate::map::PREFIXES`].
    pub const OPENS: u32 = 1;
    /// It closes the innermost. Recorded if the opening was.
    pub const CLOSES: u32 = 2;
}

/// Begin of a text, as native-endian words, and which of their bits count.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Prefix {
    /// Its bytes, zeroes after them.
    pub word: [u64; PREFIX_WORDS],
    /// All ones for each byte in use.
    pub mask: [u64; PREFIX_WORDS],
}
const _: () = assert!(size_of::<Prefix>() == 48);

impl Prefix {
    /// A text, of which the first 24 bytes count.
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

    /// Whether a text, given as its first words with zeroes after its end, begins with this.
    #[must_use]
    #[inline]
    pub fn begins(&self, text: &[u64; PREFIX_WORDS]) -> bool {
        let [a, b, c] = text;
        let (word, mask) = (&self.word, &self.mask);
        a & mask[0] == word[0] && b & mask[1] == word[1] && c & mask[2] == word[2]
    }
}

/// Name of a program as the kernel keeps it for a process: the first 15 bytes of the last part of its path, then zeroes. Held as
/// native-endian words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Name(pub [u64; 2]);
const _: () = assert!(size_of::<Name>() == 16);

impl Name {
    /// The name that a program of this file name gets.
    #[must_use]
    pub fn of(file_name: &[u8]) -> Self {
        let Prefix {
            word: [first, second, _],
            mask: _,
        } = Prefix::of(file_name.get(..15).unwrap_or(file_name));
        Self([first, second])
    }
}

/// Levels of detail, each with all before it.
pub mod level {
    /// fork, exec, exit, rename.
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
    /// `start_boottime` of the leader; zero until the first exec of a process that user space entered.
    pub born_ns: u64,
    /// Probed file of the first probe hit since the last exec; hits of other files are the same call seen twice
    /// (an overlay file system shows one file under two identities) and are left out. Zero: none yet.
    pub target: u32,
    /// `self_exec_id` of the process at the last exec that was seen: another one is another exec. Zero: none yet.
    pub exec: u32,
    /// Largest resident set at the last exec, in pages; all ones until it was seen.
    pub inherited_rss_pages: u64,
}
const _: () = assert!(size_of::<Ours>() == 24);

/// Value of [`map::TALLIES`]: `seen = sent + lost` for each kind.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tally {
    /// Records that should have been sent.
    pub seen: u64,
    /// Records for which the ring buffer had no room, and calls that a [`Guard`] could not judge.
    pub lost: u64,
}
const _: () = assert!(size_of::<Tally>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel side reads it.
    fn words(text: &[u8]) -> [u64; PREFIX_WORDS] {
        Prefix::of(text).word
    }

    #[test]
    fn a_name_is_what_the_kernel_keeps() {
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
    fn a_prefix_fits_what_begins_with_it() {
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
