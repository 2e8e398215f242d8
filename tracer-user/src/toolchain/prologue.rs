//! Where to probe a function: right after its stack check.
//!
//! A Go function first compares the stack pointer with the goroutine's limit and, when that is reached or the goroutine is to be
//! preempted, calls the runtime and starts again from its first instruction. A probe there fires twice for one call; one after the
//! check fires once, all arguments are still in their registers, and on x86-64 the kernel emulates the `push` that stands there
//! instead of single-stepping it. An instruction that is not known there is no place for a probe.

use super::elf::Machine;

/// Bytes of a function that are enough to decide.
pub(super) const LEN: usize = 64;

/// Offset of the place to probe from the function's start, or a sentence.
pub(super) fn site(machine: Machine, code: &[u8]) -> Result<u64, String> {
    let at = match machine {
        Machine::X86_64 => x86_64::after_check(code),
        Machine::Aarch64 => aarch64::after_check(code),
    };
    let rest = code.get(at..).unwrap_or_default();
    let is_known = match machine {
        Machine::X86_64 => x86_64::is_frame_setup(rest),
        Machine::Aarch64 => aarch64::is_frame_setup(rest),
    };
    if is_known {
        return Ok(u64::try_from(at).unwrap_or(u64::MAX));
    }
    let shown: Vec<String> = rest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Err(format!(
        "the instruction after its stack check, at +{at}, is not a known one ({})",
        shown.join(" ")
    ))
}

mod x86_64 {
    /// End of the stack check; zero if there is none.
    pub(super) fn after_check(code: &[u8]) -> usize {
        end(code).unwrap_or(0)
    }

    fn end(code: &[u8]) -> Option<usize> {
        // What comes before the comparison depends on the size of the frame.
        let (compared, with_r12) = match code {
            [0x49, 0x3b, ..] => (0, false),
            [0x4c, 0x8d, 0x64, 0x24, ..] => (5, true), // lea -8(%rsp),%r12, one byte of offset
            [0x4c, 0x8d, 0xa4, 0x24, ..] => (8, true), // the same, four bytes
            // mov %rsp,%r12; sub $N,%r12; jb
            [0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, _, _, _, _, 0x72, ..] => (12, true),
            [
                0x49,
                0x89,
                0xe4,
                0x49,
                0x81,
                0xec,
                _,
                _,
                _,
                _,
                0x0f,
                0x82,
                ..,
            ] => (16, true),
            _ => return None,
        };
        // cmp 0x10(%r14),%rsp or %r12
        let rex = if with_r12 { 0x4d } else { 0x49 };
        let rest = code
            .get(compared..)?
            .strip_prefix(&[rex, 0x3b, 0x66, 0x10])?;
        match rest {
            [0x76, _, ..] => Some(compared + 6),
            [0x0f, 0x86, _, _, _, _, ..] => Some(compared + 10),
            _ => None,
        }
    }

    /// push %rbp, or sub/add on %rsp: all that Go begins a frame with.
    pub(super) fn is_frame_setup(code: &[u8]) -> bool {
        matches!(
            code,
            [0x55, ..] | [0x48, 0x83, 0xec | 0xc4, ..] | [0x48, 0x81, 0xec, ..]
        )
    }
}

mod aarch64 {
    /// ldr x16, [x28, #16]
    const LIMIT: u32 = 0xf940_0b90;
    /// cmp sp, x16 and cmp x17, x16
    const COMPARE: [u32; 2] = [0xeb30_63ff, 0xeb10_023f];
    /// Instructions that a check has at most: the limit, the frame's size in up to four, a branch, the comparison.
    const WORDS_MAX: usize = 8;

    /// End of the stack check; zero if there is none.
    pub(super) fn after_check(code: &[u8]) -> usize {
        end(code).unwrap_or(0)
    }

    fn end(code: &[u8]) -> Option<usize> {
        let words: Vec<u32> = words(code).take(WORDS_MAX).collect();
        if *words.first()? != LIMIT {
            return None;
        }
        let compared = words.iter().position(|word| COMPARE.contains(word))?;
        // b.ls
        let branch = *words.get(compared + 1)?;
        (branch & 0xff00_001f == 0x5400_0009).then_some(4 * (compared + 2))
    }

    /// str x30, [sp, #-N]! or sub on sp, into sp or x20: all that Go begins a frame with.
    pub(super) fn is_frame_setup(code: &[u8]) -> bool {
        words(code).next().is_some_and(|word| {
            let is_push = word & 0xffe0_0fff == 0xf800_0ffe;
            let is_sub = word & 0xff80_03ff == 0xd100_03ff || word & 0xff80_03ff == 0xd100_03f4;
            is_push || is_sub
        })
    }

    fn words(code: &[u8]) -> impl Iterator<Item = u32> {
        code.as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
    }
}
