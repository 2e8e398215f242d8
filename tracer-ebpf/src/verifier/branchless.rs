//! Selection without branches. A mask has all bits set for true and none for false.
//!
//! The verifier follows both paths of a branch. In a loop it does so in each round, unless it recognises a state that it has checked.
//! Kernels up to 6.1 often fail to recognise one: they discard states early, and they distinguish a zero on the stack from other numbers.
//! Code that runs before or in a long loop therefore selects by arithmetic (`docs/kernel-facts.md`).

use crate::verifier::bounds::opaque;

/// True if both are equal. The optimizer must not recognise the comparison: BPF has only a branch for it.
#[inline(always)]
pub fn same(a: u64, b: u64) -> u64 {
    let differ = opaque(a ^ b);
    // Unless `differ` is zero, its top bit or the top bit of its negative is set.
    let sign = opaque(differ | opaque(differ.wrapping_neg())) >> 63;
    opaque(sign).wrapping_sub(1)
}

/// True if `a` is less than `b`. Both must be less than 2^63.
#[inline(always)]
pub fn less(a: u64, b: u64) -> u64 {
    opaque(opaque(a.wrapping_sub(b)) >> 63).wrapping_neg()
}

/// Returns `a` if the mask is true, else `b`.
#[inline(always)]
pub fn choose(mask: u64, a: u64, b: u64) -> u64 {
    a & mask | b & !mask
}
