//! Choices without a branch: a mask has all bits set for true, none for false.
//!
//! The verifier follows both ways of a branch, and in a loop both again at every turn, as long as it does not find what it saw there before.
//! Kernels up to 6.1 often do not: they forget early, and to them a zero on the stack is another state than a number. So code that runs
//! before or in a long loop chooses by arithmetic (`docs/kernel-facts.md`).

use crate::bound::opaque;

/// Whether both are the same. The optimizer must not see that this is a comparison, which is a branch on this machine.
#[inline(always)]
pub fn same(a: u64, b: u64) -> u64 {
    let differ = opaque(a ^ b);
    // Its top bit, or that of its negative, is set unless it is zero.
    let sign = opaque(differ | opaque(differ.wrapping_neg())) >> 63;
    opaque(sign).wrapping_sub(1)
}

/// Whether `a` is less than `b`; both are less than 2^63.
#[inline(always)]
pub fn less(a: u64, b: u64) -> u64 {
    opaque(opaque(a.wrapping_sub(b)) >> 63).wrapping_neg()
}

/// `a` if it is true, else `b`.
#[inline(always)]
pub fn choose(mask: u64, a: u64, b: u64) -> u64 {
    a & mask | b & !mask
}
