//! Upper bounds that the verifier can track.
//!
//! The optimizer can prove that `min(n, max) <= max`. It drops or moves the comparison that the verifier needs directly before the use.
//! [`opaque`] hides the origin of a number, so the comparison after it stays where it is written.

use core::arch::asm;

/// Returns `n`; the optimizer can assume nothing about the result.
///
/// The assembly is a real instruction. Two source lines at one instruction would give line information that the kernel rejects
/// (`Invalid line_info[..].insn_off`).
#[inline(always)]
pub fn opaque(n: u64) -> u64 {
    let mut n = n;
    // SAFETY: the instruction moves a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) n, options(pure, nomem, nostack, preserves_flags)) };
    n
}

/// Returns `n`, or `max` if `n` is greater.
#[inline(always)]
pub fn at_most(n: u64, max: u64) -> u64 {
    let n = opaque(n);
    if n > max { max } else { n }
}

/// Returns the address `n` bytes after `base`, or `base` if `n` is greater than the constant `max`.
///
/// The comparison and the addition are one piece of assembly: kernels up to 6.1 lose the bounds of a number that is spilled to the stack
/// in between. The path within the bound comes first. The other path then ends in a state that the verifier has already checked.
#[inline(always)]
pub fn behind(base: *mut u8, n: u64, max: u64) -> *mut u8 {
    let mut at = base;
    // SAFETY: the assembly computes in registers, and its jumps stay inside the template.
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

/// Returns the address `n & MASK` bytes after `base`.
#[inline(always)]
pub fn behind_masked<const MASK: u32>(base: *mut u8, n: u64) -> *mut u8 {
    let mut at = base;
    // SAFETY: the assembly computes in registers.
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
