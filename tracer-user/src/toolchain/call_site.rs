//! The instructions that call a function: probe sites for functions that are called thousands of times, of which few calls matter.
//!
//! At a `call` (`bl` on arm64), all arguments are in their registers, and the kernel emulates the instruction. It is reached once for each
//! call, because the stack check of the called function comes later. A site is found by its target, not by the name of its function, whose
//! closures have other names in each version of Go. On x86-64, decoding from the start of the function proves that the bytes of a call are
//! an instruction. Calls through a function value are not found.

use iced_x86::{Code, Decoder, DecoderOptions};
use memchr::memchr_iter;

use super::elf::{Elf, Machine};
use super::function::Functions;

/// Maximum size of a program's text; the largest tool has some 10 MB.
const TEXT_MAX: u64 = 128 << 20;

/// Maximum number of calls to probe; the `go` command has some 40. Any user can write a program with millions.
const SITES_MAX: usize = 256;

/// A program's code, function by function.
pub(super) struct Text<'a> {
    machine: Machine,
    /// Address of the first byte.
    start: u64,
    bytes: Vec<u8>,
    /// Start of each function as an offset in `bytes`, in ascending order, and the bytes that begin with its name.
    functions: Vec<(usize, &'a [u8])>,
}

/// A function's code.
#[derive(Clone, Copy)]
struct Body<'a> {
    name: &'a [u8],
    /// Offset in the text.
    at: usize,
    code: &'a [u8],
}

impl<'a> Text<'a> {
    /// Reads the code of all functions. `None` if it cannot be read or its functions are not in order.
    pub(super) fn read(elf: &Elf<'_>, functions: &Functions<'a>) -> Option<Self> {
        let entries: Vec<(u64, &[u8])> = functions.entries().collect();
        let (start, end) = (entries.first()?.0, functions.end()?);
        let len = end.checked_sub(start).filter(|it| *it <= TEXT_MAX)?;
        let offset = elf.code_offset(start)?;
        let bytes = elf.code(offset, usize::try_from(len).ok()?)?;
        let functions = entries.into_iter().map(|(address, name)| {
            let at = usize::try_from(address.checked_sub(start)?).ok()?;
            Some((at, name))
        });
        let functions: Vec<(usize, &[u8])> = functions.collect::<Option<_>>()?;
        functions.is_sorted_by_key(|it| it.0).then_some(Self {
            machine: elf.machine,
            start,
            bytes,
            functions,
        })
    }

    /// Addresses of all calls of the function at `target`, except the calls in functions with these names and in their closures. Returns
    /// `None` if a function with such a call cannot be decoded, and if there are too many calls.
    pub(super) fn calls_of(&self, target: u64, except: &[String]) -> Option<Vec<u64>> {
        let mut sites = Vec::new();
        let mut from = 0;
        while let Some(at) = self.candidate(target, from) {
            let body = self.body_at(at)?;
            from = body.at + body.code.len().max(1);
            if except.iter().any(|it| is_in(body.name, it)) {
                continue;
            }
            let address = self.address(body.at);
            sites.extend(match self.machine {
                Machine::X86_64 => x86_64::calls_in(address, body.code, target)?,
                Machine::Aarch64 => aarch64::calls_in(address, body.code, target),
            });
            if sites.len() > SITES_MAX {
                return None;
            }
        }
        Some(sites)
    }

    /// Offset of the next bytes that could be a call of this target.
    fn candidate(&self, target: u64, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let found = match self.machine {
            Machine::X86_64 => x86_64::candidate(self.address(from), rest, target),
            Machine::Aarch64 => aarch64::candidate(self.address(from), rest, target),
        };
        found.map(|it| from + it)
    }

    /// The function that contains this offset.
    fn body_at(&self, at: usize) -> Option<Body<'_>> {
        let next = self.functions.partition_point(|it| it.0 <= at);
        let (start, name) = *self.functions.get(next.checked_sub(1)?)?;
        let end = self.functions.get(next).map_or(self.bytes.len(), |it| it.0);
        let code = self.bytes.get(start..end.min(self.bytes.len()))?;
        Some(Body {
            name,
            at: start,
            code,
        })
    }

    fn address(&self, at: usize) -> u64 {
        self.start.saturating_add(at as u64)
    }
}

/// True if the bytes begin with this name, or with the name of one of its closures, and a NUL.
fn is_in(bytes: &[u8], name: &str) -> bool {
    bytes
        .strip_prefix(name.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), Some(0 | b'.')))
}

mod x86_64 {
    use super::{Code, Decoder, DecoderOptions, SITES_MAX, memchr_iter};

    /// Length of a `call` with a 32-bit displacement.
    const LEN: usize = 5;
    const CALL: u8 = 0xe8;

    pub(super) fn candidate(address: u64, bytes: &[u8], target: u64) -> Option<usize> {
        memchr_iter(CALL, bytes).find(|at| {
            let Some(&[_, a, b, c, d]) = bytes.get(*at..*at + LEN) else {
                return false;
            };
            let next = address.wrapping_add((at + LEN) as u64);
            next.wrapping_add_signed(i64::from(i32::from_le_bytes([a, b, c, d]))) == target
        })
    }

    /// Addresses of all calls of this target. `None` if the code contains bytes that are no instruction.
    pub(super) fn calls_in(address: u64, code: &[u8], target: u64) -> Option<Vec<u64>> {
        let mut sites = Vec::new();
        for instruction in &mut Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
            if instruction.is_invalid() || sites.len() > SITES_MAX {
                return None;
            }
            if instruction.code() == Code::Call_rel32_64
                && instruction.len() == LEN
                && instruction.near_branch_target() == target
            {
                sites.push(instruction.ip());
            }
        }
        Some(sites)
    }
}

mod aarch64 {
    use super::SITES_MAX;

    /// `bl`, and the mask of its operation.
    const BL: (u32, u32) = (0x9400_0000, 0xfc00_0000);

    pub(super) fn candidate(address: u64, bytes: &[u8], target: u64) -> Option<usize> {
        let words = bytes.as_chunks::<4>().0.iter().enumerate();
        let mut calls = words.filter(|(at, word)| calls(address, *at, **word, target));
        calls.next().map(|(at, _)| 4 * at)
    }

    pub(super) fn calls_in(address: u64, code: &[u8], target: u64) -> Vec<u64> {
        let words = code.as_chunks::<4>().0.iter().enumerate();
        let calls = words.filter(|(at, word)| calls(address, *at, **word, target));
        let addresses = calls.map(|(at, _)| address.wrapping_add(4 * at as u64));
        // One more than the maximum shows that there are too many.
        addresses.take(SITES_MAX + 1).collect()
    }

    fn calls(address: u64, at: usize, word: [u8; 4], target: u64) -> bool {
        let word = u32::from_le_bytes(word);
        let here = address.wrapping_add(4 * at as u64);
        // The low 26 bits are a signed number of words.
        let displacement = i64::from((word << 6).cast_signed() >> 6) * 4;
        word & BL.1 == BL.0 && here.wrapping_add_signed(displacement) == target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(
        machine: Machine,
        bytes: Vec<u8>,
        functions: &[(usize, &'static [u8])],
    ) -> Text<'static> {
        Text {
            machine,
            start: 0x40_1000,
            bytes,
            functions: functions.to_vec(),
        }
    }

    /// Three functions on amd64: `target` at 0, `a.b` at 16 and its closure at 32, which call `target`.
    fn amd64(code: [&[u8]; 2]) -> Text<'static> {
        let mut bytes = vec![0xcc; 48];
        bytes[0] = 0xc3;
        for (at, code) in [16, 32].into_iter().zip(code) {
            bytes[at..at + code.len()].copy_from_slice(code);
        }
        text(
            Machine::X86_64,
            bytes,
            &[(0, b"target\0"), (16, b"a.b\0"), (32, b"a.b.func1\0")],
        )
    }

    // push %rbp; call target; ret, at 16 and at 32.
    const AT_16: &[u8] = &[0x55, 0xe8, 0xea, 0xff, 0xff, 0xff, 0xc3];
    const AT_32: &[u8] = &[0x55, 0xe8, 0xda, 0xff, 0xff, 0xff, 0xc3];

    #[test]
    fn every_call_is_found_by_its_target() {
        let found = amd64([AT_16, AT_32]).calls_of(0x40_1000, &[]);
        assert_eq!(found, Some(vec![0x40_1011, 0x40_1021]));
        assert_eq!(amd64([AT_16, AT_32]).calls_of(0x40_1001, &[]), Some(vec![]));
    }

    #[test]
    fn calls_in_an_excepted_function_and_its_closures_are_left_out() {
        let text = amd64([AT_16, AT_32]);
        let found = |it: &str| text.calls_of(0x40_1000, &[it.to_owned()]).unwrap().len();
        assert_eq!(found("a.b"), 0);
        assert_eq!(found("a.b.func1"), 1);
        assert_eq!(found("a.bc"), 2);
        assert_eq!(found("a"), 0, "a package is a prefix too");
    }

    #[test]
    fn bytes_that_are_part_of_an_instruction_are_no_call() {
        // mov $0xffffffda_e8_.., with the bytes of a call of `target` inside the constant.
        let inside = &[
            0x48, 0xb8, 0x90, 0xe8, 0xd8, 0xff, 0xff, 0xff, 0x90, 0x90, 0xc3,
        ];
        let found = amd64([AT_16, inside]).calls_of(0x40_1000, &[]);
        assert_eq!(found, Some(vec![0x40_1011]));
    }

    #[test]
    fn a_function_that_cannot_be_decoded_gives_no_sites() {
        // 0x06 is no instruction in 64-bit code.
        let invalid = &[0x06, 0xe8, 0xda, 0xff, 0xff, 0xff, 0xc3];
        assert_eq!(amd64([AT_16, invalid]).calls_of(0x40_1000, &[]), None);
    }

    #[test]
    fn a_program_with_too_many_calls_has_no_sites() {
        let call = |n: usize| -> Vec<u8> {
            let calls = (1..=n).map(|it| {
                0x9400_0000 | (0_u32.wrapping_sub(u32::try_from(it).unwrap()) & 0x03ff_ffff)
            });
            let words = [0xd65f_03c0].into_iter().chain(calls);
            words.flat_map(u32::to_le_bytes).collect()
        };
        let found = |n: usize| {
            let functions: &[(usize, &[u8])] = &[(0, b"target\0"), (4, b"a.b\0")];
            text(Machine::Aarch64, call(n), functions).calls_of(0x40_1000, &[])
        };
        assert_eq!(found(SITES_MAX).map(|it| it.len()), Some(SITES_MAX));
        assert_eq!(found(SITES_MAX + 1), None);
    }

    #[test]
    fn calls_are_found_on_arm64() {
        let words: [u32; 6] = [
            0xd65f_03c0, // target: ret
            0xf81f_0ffe, // a.b: str x30, [sp, #-16]!
            0x97ff_fffe, // bl target
            0x17ff_fffd, // b target
            0x9400_0001, // bl, to the next word
            0xd65f_03c0,
        ];
        let bytes = words.iter().flat_map(|it| it.to_le_bytes()).collect();
        let text = text(Machine::Aarch64, bytes, &[(0, b"target\0"), (4, b"a.b\0")]);
        assert_eq!(text.calls_of(0x40_1000, &[]), Some(vec![0x40_1008]));
        assert_eq!(text.calls_of(0x40_1014, &[]), Some(vec![0x40_1010]));
        assert_eq!(text.calls_of(0x40_1000, &["a.b".to_owned()]), Some(vec![]));
    }
}
