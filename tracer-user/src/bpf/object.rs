//! The BPF object that was committed for this machine's architecture; `build.rs` picks it and checks that its sources have not
//! changed since.

/// The object, aligned as its parser wants it.
pub(super) fn bytes() -> &'static [u8] {
    aya::include_bytes_aligned!(env!("GOTRACE_BPF_OBJECT"))
}

/// SHA-256 of the object, in hex.
pub const fn digest() -> &'static str {
    env!("GOTRACE_BPF_SHA256")
}
