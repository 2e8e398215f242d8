//! Uprobes by perf events, one for each site of a file: for kernels without `uprobe_multi` links (before 6.6).
//!
//! Each event has a cookie, which identifies the site for the program. Where programs cannot read the cookie from the kernel, the path
//! of the event contains it as well (`tracer_abi::cookie`). A trial detects the method that a kernel supports.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use aya::programs::{ProgramType, UProbe};
use aya::sys::{BpfHelper, is_helper_supported};
use tracer_abi::{Offsets, cookie};

use super::error::{self, SetupError, TracerError};
use super::{CALL_PROGRAM, Site, hook};

/// The source of a probe's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookies {
    /// The kernel stores it and passes it to the program (since 5.15).
    Kept,
    /// The path of the probe contains it.
    Named,
}

impl Cookies {
    /// Detects the method of the running kernel. A kernel that supports neither method rejects the program because of the first one.
    pub(super) fn of_running_kernel(offsets: &Offsets) -> Self {
        let helper = BpfHelper::BPF_FUNC_get_attach_cookie;
        match is_helper_supported(ProgramType::KProbe, helper) {
            Ok(false) if leads_to_name(offsets) => Self::Named,
            // Without permission to ask, loading the programs fails later with a reason.
            Ok(_) | Err(_) => Self::Kept,
        }
    }
}

fn leads_to_name(offsets: &Offsets) -> bool {
    let way = [
        offsets.task_utask,
        offsets.utask_vaddr,
        offsets.dispatch_probe,
        offsets.probe_filename,
    ];
    !way.contains(&Offsets::ABSENT)
}

/// The loaded program.
pub(super) struct PerfProgram {
    ebpf: Box<Ebpf>,
    cookies: Cookies,
}

/// Loads the program.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<(), SetupError> {
    program(ebpf)
        .and_then(|program| program.load().map_err(TracerError::from))
        .map_err(|source| error::from_program(CALL_PROGRAM, source))
}

impl PerfProgram {
    /// Wraps an object whose program is loaded.
    pub(super) fn of(ebpf: Ebpf, cookies: Cookies) -> Self {
        let ebpf = Box::new(ebpf);
        Self { ebpf, cookies }
    }

    /// Probes a file at all sites or at none.
    pub(super) fn attach(
        &mut self,
        file: &File,
        target: u32,
        sites: &[Site],
    ) -> Result<Vec<UProbeLink>, TracerError> {
        let Self { ebpf, cookies } = self;
        let program = program(ebpf)?;
        let mut links = Vec::with_capacity(sites.len());
        for site in sites {
            let (path, cookie) = named(*cookies, file.as_raw_fd(), site.cookie(target));
            let location = UProbeAttachLocation::AbsoluteOffset(site.offset);
            let point = UProbeAttachPoint { location, cookie };
            let id = program.attach(point, &path, UProbeScope::AllProcesses)?;
            links.push(program.take_link(id)?);
        }
        Ok(links)
    }
}

/// The path to attach by, and the cookie for the kernel to store. The kernel resolves the path to the opened inode, regardless of the
/// file's current path.
fn named(cookies: Cookies, fd: RawFd, cookie: u64) -> (PathBuf, Option<u64>) {
    let mut path = cookie::DIRECTORY.as_bytes().to_vec();
    let kept = match cookies {
        Cookies::Kept => Some(cookie),
        Cookies::Named => {
            path.extend(cookie::encode(cookie));
            None
        }
    };
    path.extend(format!("/{fd}").bytes());
    (PathBuf::from(OsString::from_vec(path)), kept)
}

fn program(ebpf: &mut Ebpf) -> Result<&mut UProbe, TracerError> {
    Ok(hook::program(ebpf, CALL_PROGRAM)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_cookie_is_kept_by_the_kernel_or_in_the_path_but_not_in_both() {
        let (path, kept) = named(Cookies::Kept, 7, 0x3_0005);
        assert_eq!((path, kept), ("/proc/self/fd/7".into(), Some(0x3_0005)));

        let (path, kept) = named(Cookies::Named, 7, 0x3_0005);
        let text = path.as_os_str().as_bytes();
        assert_eq!(kept, None);
        assert!(text.starts_with(b"/proc/self/fd///./"), "{path:?}");
        assert!(text.ends_with(b"/./7"), "{path:?}");
    }

    #[test]
    fn a_kernel_without_one_of_the_members_cannot_read_paths() {
        let all = Offsets::default();
        assert!(leads_to_name(&all));
        let utask_vaddr = Offsets::ABSENT;
        assert!(!leads_to_name(&Offsets { utask_vaddr, ..all }));
    }
}
