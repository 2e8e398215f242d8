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

/// The address `n` bytes behind `base`, or `base` where `n` is greater than `max`, a constant.
///
/// The limit and the addition are one piece, because kernels up to 6.1 know nothing more of a number that was put on the stack in between.
/// The way within the limit comes first: what comes of the other is then a case of what was seen already, and is not followed again.
#[inline(always)]
pub fn behind(base: *mut u8, n: u64, max: u64) -> *mut u8 {
    let mut at = base;
    // SAFETY: arithmetic in registers; the jumps stay in the template.
    unsafe {
        asm!(
            "if {n} > {max} goto +1",
            "goto +1",
            "{n} = 0",
            "{at} += {n}",
            at = inout(reg) at,
            n = inout(reg) n => _,
            max = in(reg) max,
            options(pure, nomem, nostack),
        );
    }
    at
}

/// The address as many bytes behind `base` as the bits of `n` say that are in `MASK`.
#[inline(always)]
pub fn behind_masked<const MASK: u32>(base: *mut u8, n: u64) -> *mut u8 {
    let mut at = base;
    // SAFETY: arithmetic in registers.
    unsafe {
        asm!(
            "{n} &= {mask}",
            "{at} += {n}",
            at = inout(reg) at,
            n = inout(reg) n => _,
            mask = const MASK,
            options(pure, nomem, nostack),
        );
    }
    at
}
