//! Limits in a form that the verifier can follow.
//!
//! The optimizer knows that `min(n, max) <= max` and drops or moves the comparison that the verifier needs to see right before
//! the use. [`opaque`] hides where a number comes from, so the comparison after it stays where it is written.

use core::arch::asm;

/// The same number, of which the optimizer knows nothing.
///
/// The instruction is a real one: two lines of source at one instruction make line information that the kernel refuses
/// (`Invalid line_info[..].insn_off`).
#[inline(always)]
pub fn opaque(n: u64) -> u64 {
    let mut n = n;
    // SAFETY: a register is moved to itself.
    unsafe { asm!("{0} = {0}", inout(reg) n, options(pure, nomem, nostack, preserves_flags)) };
    n
}

/// `n`, or `max` if it is greater.
#[inline(always)]
pub fn at_most(n: u64, max: u64) -> u64 {
    let n = opaque(n);
    if n > max { max } else { n }
}
