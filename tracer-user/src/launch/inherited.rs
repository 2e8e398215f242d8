//! Inherited state that Rust changes before `main`: std ignores SIGPIPE. The command must start with the original disposition.

use std::sync::atomic::{AtomicBool, Ordering};

static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// True if gotrace's parent ignored SIGPIPE, as systemd does for its services.
pub(super) fn sigpipe_was_ignored() -> bool {
    SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed)
}

/// The dynamic linker and musl's start code call this before `main`, and thus before std's start code. std overwrites the disposition
/// without saving it (rust-lang/rust#97889 would make this unnecessary).
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_SIGPIPE: extern "C" fn() = note_sigpipe;

extern "C" fn note_sigpipe() {
    // SAFETY: an all-zero `sigaction` is a valid value of that plain C struct.
    let mut current: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only queries; `current` is writable during the call.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut current) };
    SIGPIPE_WAS_IGNORED.store(
        asked == 0 && current.sa_sigaction == libc::SIG_IGN,
        Ordering::Relaxed,
    );
}
