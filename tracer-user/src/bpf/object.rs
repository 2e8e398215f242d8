//! The committed BPF object for this machine's architecture. `build.rs` selects it, and fails if its sources have changed since.

use tracer_abi::Ours;

/// The definition of `OURS` in the object: type (hash), sizes of key and value, entries, flags (`BPF_F_NO_PREALLOC`).
const OURS: [u32; 5] = [1, 4, 48, 65_536, 1];
const _: () = assert!(size_of::<Ours>() == 48);

/// The object, with the alignment that its parser requires.
pub(super) fn bytes() -> &'static [u8] {
    aya::include_bytes_aligned!(env!("GOTRACE_BPF_OBJECT"))
}

/// The object with that map preallocated, for kernels before 6.1. Such kernels have no allocator that is safe in any context, so they
/// warn about a map without preallocation in a tracing program (`docs/kernel-facts.md`).
pub(super) fn preallocated() -> Vec<u8> {
    let mut bytes = bytes().to_vec();
    let wanted: Vec<u8> = OURS.iter().flat_map(|it| it.to_le_bytes()).collect();
    if let Some(at) = find(&bytes, &wanted)
        && let Some(flags) = bytes.get_mut(at + wanted.len() - 4)
    {
        *flags = 0;
    }
    bytes
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}

/// SHA-256 of the object, in hex.
pub const fn digest() -> &'static str {
    env!("GOTRACE_BPF_SHA256")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_bit_makes_the_map_preallocated() {
        let changed: Vec<_> = bytes()
            .iter()
            .zip(preallocated())
            .filter(|(old, new)| **old != *new)
            .collect();
        assert_eq!(changed, [(&1, 0)]);
    }
}
