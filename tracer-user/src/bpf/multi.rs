//! Uprobes by `uprobe_multi` links (Linux 6.6): one link for all sites of a file.
//!
//! The kernel attaches and detaches such a link at once, and it needs no `CAP_SYS_ADMIN`. With one perf event for each site, the kernel
//! needs a tenth of a second to detach each event, one after another. `aya` 0.14 cannot load a program for such a link, because the
//! attach type must be given at load time. This module therefore reads the object with `aya_obj`, as `aya` does, and makes both system
//! calls itself. Delete it when `aya` supports this (0.15, which needs a newer compiler).

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;
use zerocopy::{Immutable, IntoBytes};

use super::{CALL_PROGRAM, Site, object, sys};

// From `include/uapi/linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_KPROBE: u32 = 2;
const BPF_TRACE_UPROBE_MULTI: u32 = 48;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads, up to the last field that is used.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// The same part for `BPF_LINK_CREATE` of this type of link.
#[derive(Default, IntoBytes, Immutable)]
#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    cnt: u32,
    multi_flags: u32,
    pid: u32,
    pad: u32,
}

const _: () = assert!(size_of::<LoadAttr>() == 72);
const _: () = assert!(size_of::<LinkAttr>() == 64);

/// The loaded program.
pub(super) struct MultiProgram(OwnedFd);

/// All probes of one file. Closing it detaches them.
pub(super) struct MultiLink(OwnedFd);

impl AsFd for MultiLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for MultiProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl MultiProgram {
    /// Loads the program a second time, for this type of link, with the maps of the first loading. Returns `None` on kernels without such
    /// links. Loading alone does not detect them, because it succeeds on every kernel.
    pub(super) fn load(ebpf: &Ebpf) -> Option<Self> {
        let program = Self::load_any(ebpf)?;
        // For a directory, a kernel with such links returns EBADF; a kernel without them returns EINVAL.
        let error = program.link(c"/", &[0], &[0]).err()?;
        (error.raw_os_error() == Some(libc::EBADF)).then_some(program)
    }

    /// Wraps a pinned program.
    pub(super) fn pinned(fd: OwnedFd) -> Self {
        Self(fd)
    }

    fn load_any(ebpf: &Ebpf) -> Option<Self> {
        let mut object = Object::parse(object::bytes()).ok()?;
        let sections: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let maps = object.maps.clone();
        let fds = maps
            .iter()
            .filter_map(|(name, map)| Some((name.as_str(), fd(ebpf.map(name)?)?, map)));
        object.relocate_maps(fds, &sections).ok()?;
        object.relocate_calls(&sections).ok()?;
        let program = object.programs.get(CALL_PROGRAM)?;
        let function = object.functions.get(&program.function_key())?;
        let license: &CStr = &program.license;
        let mut attr = LoadAttr {
            prog_type: BPF_PROG_TYPE_KPROBE,
            insn_cnt: u32::try_from(function.instructions.len()).ok()?,
            insns: function.instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            expected_attach_type: BPF_TRACE_UPROBE_MULTI,
            ..LoadAttr::default()
        };
        // The last byte stays zero.
        for (to, from) in attr.prog_name.iter_mut().take(15).zip(CALL_PROGRAM.bytes()) {
            *to = from;
        }
        // SAFETY: the attribute points to `insn_cnt` instructions and to a C string; both live until the call returns. It returns a
        // new descriptor.
        unsafe { sys::bpf(BPF_PROG_LOAD, &attr) }.ok().map(Self)
    }

    /// Probes a file at all sites or at none.
    pub(super) fn attach(&self, file: &File, target: u32, sites: &[Site]) -> io::Result<MultiLink> {
        // The kernel resolves this path to the opened inode, regardless of the file's current path.
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let offsets: Vec<u64> = sites.iter().map(|it| it.offset).collect();
        let cookies: Vec<u64> = sites.iter().map(|it| it.cookie(target)).collect();
        self.link(&path, &offsets, &cookies).map(MultiLink)
    }

    fn link(&self, path: &CStr, offsets: &[u64], cookies: &[u64]) -> io::Result<OwnedFd> {
        let attr = LinkAttr {
            prog_fd: u32::try_from(self.0.as_raw_fd()).map_err(io::Error::other)?,
            attach_type: BPF_TRACE_UPROBE_MULTI,
            path: path.as_ptr().addr() as u64,
            offsets: offsets.as_ptr().addr() as u64,
            cookies: cookies.as_ptr().addr() as u64,
            cnt: u32::try_from(offsets.len().min(cookies.len())).map_err(io::Error::other)?,
            ..LinkAttr::default()
        };
        // SAFETY: the attribute points to a C string and to two arrays of at least `cnt` words; all live until the call returns.
        // It returns a new descriptor.
        unsafe { sys::bpf(sys::BPF_LINK_CREATE, &attr) }
    }
}

/// The descriptor of a map, for the map types of the object.
fn fd(map: &Map) -> Option<i32> {
    let (Map::Array(data)
    | Map::HashMap(data)
    | Map::LruHashMap(data)
    | Map::PerCpuArray(data)
    | Map::RingBuf(data)) = map
    else {
        return None;
    };
    Some(data.fd().as_fd().as_raw_fd())
}
