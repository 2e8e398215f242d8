//! The place to probe in a function: right after its stack check.
//!
//! A Go function first compares the stack pointer with the goroutine's limit. If the limit is reached, or the goroutine is to be
//! preempted, the function calls the runtime and starts again from its first instruction. A probe at the first instruction therefore
//! fires twice for one call; a probe after the check fires once. There, all arguments are still in their registers, and on x86-64 the
//! kernel emulates the following `push` instead of single-stepping it. If the instruction there is unknown, the function is not probed.
use super::elf::Machine;

/// Number of bytes of a function that are examined.
pub(super) const LEN: usize = 64;

/// Offset of the place to probe from the function's start, or the reason for its absence.
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
        "unknown instruction after its stack check, at +{at} ({})",
        shown.join(" ")
    ))
}

mod x86_64 {
    /// End of the stack check; zero without a check.
    pub(super) fn after_check(code: &[u8]) -> usize {
        end(code).unwrap_or(0)
    }

    fn end(code: &[u8]) -> Option<usize> {
        // The instructions before the comparison depend on the size of the frame.
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

    /// push %rbp, or sub/add on %rsp: the instructions with which Go begins a frame.
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
    /// Maximum number of instructions of a check: the limit, the frame's size in up to four, a branch, the comparison.
    const WORDS_MAX: usize = 8;

    /// End of the stack check; zero without a check.
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

    /// str x30, [sp, #-N]! or sub on sp, into sp or x20: the instructions with which Go begins a frame.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Real prologues: their function, their bytes, and the place to probe.
    fn check(machine: Machine, samples: &[(&str, &str, u64)]) {
        for (what, hex, expected) in samples {
            let code: Vec<u8> = hex
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            assert_eq!(site(machine, &code), Ok(*expected), "{what}");
        }
    }

    #[test]
    fn every_form_of_the_check_is_passed_on_amd64() {
        check(
            Machine::X86_64,
            &[
                (
                    "1.27 (*Metrics).Start",
                    "49 3b 66 10 0f 86 7c 01 00 00 55 48 89 e5 48 83 ec 30",
                    10,
                ),
                (
                    "1.19 (*Metrics).Start",
                    "49 3b 66 10 0f 86 83 01 00 00 48 83 ec 38 48 89 6c 24 30",
                    10,
                ),
                ("short jump", "49 3b 66 10 76 2c 55 48 89 e5", 6),
                (
                    "1.27 (*Timings).append",
                    "4c 8d 64 24 e8 4d 3b 66 10 0f 86 7e 01 00 00 55 48 89 e5",
                    15,
                ),
                (
                    "1.19 BuildInstallFunc",
                    "4c 8d 64 24 c8 4d 3b 66 10 0f 86 36 06 00 00 48 81 ec b8 00 00 00",
                    15,
                ),
                (
                    "1.27 frame of 928 bytes",
                    "4c 8d a4 24 d8 fc ff ff 4d 3b 66 10 0f 86 3e 04 00 00 55 48 89 e5",
                    18,
                ),
                (
                    "1.27 frame of 8224 bytes",
                    "49 89 e4 49 81 ec a8 1f 00 00 0f 82 b7 00 00 00 4d 3b 66 10 0f 86 ad 00 00 00 55 48 89 e5",
                    26,
                ),
                ("no check", "55 48 89 e5 48 83 ec 10", 0),
            ],
        );
    }

    #[test]
    fn the_check_is_passed_on_arm64() {
        check(
            Machine::Aarch64,
            &[
                (
                    "1.24 (*Metrics).Start",
                    "90 0b 40 f9 ff 63 30 eb 09 0b 00 54 fe 0f 1c f8",
                    12,
                ),
                (
                    "1.24 larger frame",
                    "90 0b 40 f9 f1 03 01 d1 3f 02 10 eb 49 1d 00 54 fe 0f 14 f8",
                    16,
                ),
            ],
        );
    }

    #[test]
    fn a_function_with_an_unknown_instruction_is_not_probed() {
        let found = site(
            Machine::X86_64,
            &[0x49, 0x3b, 0x66, 0x10, 0x76, 0x2c, 0xcc, 0x90],
        );
        assert_eq!(
            found,
            Err("unknown instruction after its stack check, at +6 (cc 90)".to_owned())
        );
        // A frame on arm64 that is so large that its size needs a register.
        let large = [0x90, 0x0b, 0x40, 0xf9, 0x1b, 0xf2, 0x83, 0xd2];
        assert!(site(Machine::Aarch64, &large).is_err());
        assert!(site(Machine::X86_64, &[]).is_err());
    }
}
