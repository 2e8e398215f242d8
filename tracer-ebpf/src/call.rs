//! A probed function of a toolchain program was called.
//!
//! One program serves every probe. The cookie selects the row of `SPECS`, which lists the captures, and names the probed file. A uprobe's
//! program can be preempted, so it uses no scratch space. It writes directly into the ring buffer, into the smallest slot of a few sizes.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_attach_cookie, bpf_probe_read_user, generated::bpf_probe_read_user as copy_user,
    },
    macros::uprobe,
    programs::ProbeContext,
};
use tracer_abi::{
    CAPTURES, Call, Capture, Guard, Kind, Ours, Spec, TARGETS, TEXT_LONG, TEXT_LONGEST, TEXT_MAX,
    TEXT_SHORT,
};

use crate::{
    cookie,
    kernel::{born, current_task, current_tgid},
    maps::{DETAIL, EVENTS, OURS, RELEASED, SPECS},
    record::{count_lost, count_seen, header, wake_if_filling},
    span::{self, Goroutine},
    verifier::bounds::{at_most, behind, opaque},
};

/// Integer arguments that Go passes in registers.
const ARGS: usize = 9;

/// Index in the kernel's `pt_regs` of each of Go's argument registers, then of the goroutine.
#[cfg(bpf_target_arch = "x86_64")]
const REGISTERS: ([usize; ARGS], usize) = {
    // `struct pt_regs` of arch/x86/include/asm/ptrace.h, in words.
    let (r14, bx, r11, r10, r9, r8, ax, cx, si, di) = (1, 5, 6, 7, 8, 9, 10, 11, 13, 14);
    ([ax, bx, cx, di, si, r8, r9, r10, r11], r14)
};
#[cfg(bpf_target_arch = "aarch64")]
const REGISTERS: ([usize; ARGS], usize) = ([0, 1, 2, 3, 4, 5, 6, 7, 8], 28);

#[uprobe]
pub fn go_call(ctx: ProbeContext) -> u32 {
    record(&ctx);
    0
}

/// Location of a capture's text.
#[derive(Clone, Copy)]
struct Text {
    at: u64,
    len: u64,
}

/// The captured values, before room for the texts is reserved.
struct Found {
    value: [u64; CAPTURES],
    text: [Text; CAPTURES],
    missing: u64,
    /// The texts are the pieces of one capture, the first.
    is_joined: bool,
}

#[inline(always)]
fn record(ctx: &ProbeContext) -> Option<()> {
    let ours = OURS.get_ptr_mut(current_tgid())?;
    let Some(cookie) = cookie(ctx) else {
        count_seen(Kind::CALL);
        count_lost(Kind::CALL);
        return None;
    };
    let index = cookie as u32 & 0xffff;
    let target = (cookie >> 16) as u32;
    let spec = SPECS.get(index)?;
    if !is_first_target(ours, target) {
        return None;
    }
    let goroutine = register(ctx, REGISTERS.1);
    // Runs before the check of the level of detail, so that a span that is open during a change keeps its depth.
    let is_recorded = {
        let key = Goroutine {
            g: goroutine,
            tgid: u64::from(current_tgid()),
        };
        let [first, ..] = &spec.captures;
        let (text, len) = (argument(ctx, first.arg), argument(ctx, first.len_arg));
        span::is_recorded(spec.span, key, text, len)
    };
    if spec.level > *DETAIL.get(0)? || !is_recorded {
        return None;
    }
    match is_withheld(ctx, &spec.guard) {
        Some(false) => count_seen(Kind::CALL),
        Some(true) => return None,
        None => {
            count_seen(Kind::CALL);
            count_lost(Kind::CALL);
            return None;
        }
    }
    let found = find(ctx, spec);
    // SAFETY: the map keeps the element while the program runs.
    let mut born_ns = unsafe { (*ours).born_ns };
    if born_ns == 0 {
        born_ns = born(current_task());
    }
    let total = found.text[0].len + found.text[1].len + found.text[2].len + found.text[3].len;
    let call = Call {
        header: header(Kind::CALL, SIZE as u64, born_ns),
        goroutine,
        value: found.value,
        // Not constants: constant arrays are written by a function call, see `exec::current_name`.
        text_total: [opaque(0) as u32; CAPTURES],
        text_len: [opaque(0) as u32; CAPTURES],
        target,
        spec: index as u16,
        missing: found.missing as u16,
    };
    // With several texts, each may take half of a slot: see `write`.
    let is_sent = if total == found.text[0].len {
        send_single::<0>(call, &found)
    } else if total == found.text[1].len {
        send_single::<1>(call, &found)
    } else if total <= TEXT_SHORT as u64 / 2 {
        send::<TEXT_SHORT, { SIZE + TEXT_SHORT }>(call, &found)
    } else {
        send::<TEXT_MAX, { SIZE + TEXT_MAX }>(call, &found)
    };
    if !is_sent {
        count_lost(Kind::CALL);
    }
    Some(())
}

/// The kernel's verifier checks only one of the two branches, because it treats the global as constant.
#[inline(always)]
fn cookie(ctx: &ProbeContext) -> Option<u64> {
    if cookie::is_named() {
        return cookie::of_name();
    }
    // SAFETY: the context is that of this program.
    Some(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) })
}

/// True if the hit counts. One file may be probed as several (two overlays of one layer), and then each probe reports the hit. Only hits of
/// the file of the process's first hit count, until the probes of that file are detached.
#[inline(always)]
fn is_first_target(ours: *mut Ours, target: u32) -> bool {
    // The target that replaces a released one reports the hits of this process from here on. A hit that both see must be reported once.
    if is_released(target) {
        return false;
    }
    // SAFETY: the map keeps the element while the program runs.
    let first = unsafe { &raw mut (*ours).target };
    // SAFETY: as above. Two threads can race only until the first hit has ended, and then with the same file.
    let seen = unsafe { first.read_volatile() };
    if seen == target {
        return true;
    }
    let is_next = seen == 0 || is_released(seen);
    if is_next {
        // SAFETY: as above.
        unsafe { first.write_volatile(target) };
    }
    is_next
}

#[inline(always)]
fn is_released(target: u32) -> bool {
    let bit = target % TARGETS;
    RELEASED
        .get(bit / 64)
        .is_some_and(|it| it >> (bit % 64) & 1 != 0)
}

/// True if the guard withholds the call. `None`: its text cannot be read and could be the secret one.
#[inline(always)]
fn is_withheld(ctx: &ProbeContext, guard: &Guard) -> Option<bool> {
    if guard.text.op == Capture::NONE {
        return Some(false);
    }
    let arg = argument(ctx, guard.text.arg);
    let (at, len) = if guard.text.op == Capture::TEXT {
        (arg, argument(ctx, guard.text.len_arg))
    } else {
        let [offset, ..] = guard.text.offset;
        let header = arg + u64::from(offset);
        (user_word(header)?, user_word(header + 8)?)
    };
    // A text of another length is another text. Constants of a program may not be in memory yet, so only a text of these lengths is read.
    let is_secret = len == guard.secret.len;
    if !is_secret && len != guard.noise.len {
        return Some(false);
    }
    let mut word = opaque(0);
    let n = at_most(len, size_of_val(&word) as u64);
    // SAFETY: the word holds as many bytes; the helper checks the source.
    let ret = unsafe { copy_user((&raw mut word).cast(), n as u32, at as *const _) };
    if ret != 0 {
        return if is_secret { None } else { Some(false) };
    }
    let text = if is_secret { guard.secret } else { guard.noise };
    Some(word == text.word)
}

#[inline(always)]
fn find(ctx: &ProbeContext, spec: &Spec) -> Found {
    // Each zero is read separately: the verifier would compare copies of one together.
    let zero = || unknown_zero(spec);
    let no_text = || {
        let at = zero();
        Text { at, len: zero() }
    };
    let text = [no_text(), no_text(), no_text(), no_text()];
    let mut found = Found {
        value: [text[0].at, text[1].at, text[2].at, text[3].at],
        text,
        missing: zero(),
        is_joined: false,
    };
    let [a, b, c, d] = &spec.captures;
    if spec.n_captures > 0 {
        if a.op == Capture::TEXTS {
            find_joined(&mut found, ctx, a);
            return found;
        }
        find_one::<0>(&mut found, ctx, a, zero());
    }
    if spec.n_captures > 1 {
        find_one::<1>(&mut found, ctx, b, zero());
    }
    if spec.n_captures > 2 {
        find_one::<2>(&mut found, ctx, c, zero());
    }
    if spec.n_captures > 3 {
        find_one::<3>(&mut found, ctx, d, zero());
    }
    found
}

#[inline(always)]
fn find_one<const I: usize>(found: &mut Found, ctx: &ProbeContext, capture: &Capture, zero: u64) {
    match value(ctx, capture) {
        Some((value, len)) => {
            found.value[I] = value;
            found.text[I] = Text {
                at: value,
                len: len ^ zero,
            };
        }
        None => found.missing |= 1 << I,
    }
}

/// Zero, without bounds for the verifier, for which a zero on the stack is a different state than a number. It would check the rest of the
/// program for each combination of captures. A capture has a text, has none or is missing.
#[inline(always)]
fn unknown_zero(spec: &Spec) -> u64 {
    // SAFETY: the map keeps the element; volatile, so that the compiler does not compute with it either.
    let zero = u64::from(unsafe { (&raw const spec.pad).read_volatile() });
    opaque(zero << 32 | zero)
}

/// The value of a capture, and the length of its text; zero if it is not a text.
#[inline(always)]
fn value(ctx: &ProbeContext, capture: &Capture) -> Option<(u64, u64)> {
    let arg = argument(ctx, capture.arg);
    match capture.op {
        Capture::WORD => Some((arg, 0)),
        Capture::TEXT => Some((arg, argument(ctx, capture.len_arg))),
        Capture::WORD_AT => Some((user_word(chase(arg, capture)?)?, 0)),
        Capture::TEXT_AT => {
            let header = chase(arg, capture)?;
            Some((user_word(header)?, user_word(header + 8)?))
        }
        _ => None,
    }
}

/// Follows the pointers of a capture to the address of the last one.
#[inline(always)]
fn chase(arg: u64, capture: &Capture) -> Option<u64> {
    let [a, b, c] = capture.offset;
    let mut at = arg + u64::from(a);
    if capture.hops > 0 {
        at = user_word(at)? + u64::from(b);
    }
    if capture.hops > 1 {
        at = user_word(at)? + u64::from(c);
    }
    Some(at)
}

/// The strings of a slice, at most four.
#[inline(always)]
fn find_joined(found: &mut Found, ctx: &ProbeContext, capture: &Capture) {
    let slice = argument(ctx, capture.arg);
    let n = argument(ctx, capture.len_arg);
    found.value[0] = slice;
    found.is_joined = true;
    macro_rules! piece {
        ($i:literal) => {
            if n > $i {
                match (user_word(slice + 16 * $i), user_word(slice + 16 * $i + 8)) {
                    (Some(at), Some(len)) => found.text[$i] = Text { at, len },
                    _ => found.missing |= 1,
                }
            }
        };
    }
    piece!(0);
    piece!(1);
    piece!(2);
    piece!(3);
}

const SIZE: usize = size_of::<Call>();

/// Sends a record whose only text is that of capture `I`.
#[inline(always)]
fn send_single<const I: usize>(call: Call, found: &Found) -> bool {
    let len = found.text[I].len;
    if len <= TEXT_SHORT as u64 {
        send_text::<TEXT_SHORT, { SIZE + TEXT_SHORT }, I>(call, found)
    } else if len <= TEXT_MAX as u64 {
        send_text::<TEXT_MAX, { SIZE + TEXT_MAX }, I>(call, found)
    } else if len <= TEXT_LONG as u64 {
        send_text::<TEXT_LONG, { SIZE + TEXT_LONG }, I>(call, found)
    } else {
        send_text::<TEXT_LONGEST, { SIZE + TEXT_LONGEST }, I>(call, found)
    }
}

/// Reserves a slot with `ROOM` bytes for one text, fills and submits it; false if the ring buffer has no room.
#[inline(always)]
fn send_text<const ROOM: usize, const SLOT: usize, const I: usize>(
    call: Call,
    found: &Found,
) -> bool {
    let Some(mut slot) = EVENTS.reserve_bytes(SLOT, 0) else {
        return false;
    };
    let bytes: *mut u8 = slot.as_mut_ptr();
    // SAFETY: the slot begins with room for the record, and the ring buffer aligns it to eight bytes.
    unsafe { bytes.cast::<Call>().write(call) };
    let text = found.text[I];
    if text.len > 0 {
        let n = at_most(text.len, ROOM as u64);
        // SAFETY: the room after the record is `ROOM` bytes; the helper checks the source.
        let ret = unsafe { copy_user(bytes.add(SIZE).cast(), n as u32, text.at as *const _) };
        // All changes are in the record itself: see `write`.
        filled(
            bytes,
            if found.is_joined { 0 } else { I },
            text.len,
            n,
            ret == 0,
        );
    }
    slot.submit(wake_if_filling());
    true
}

/// Reserves a slot with `ROOM` bytes of texts, fills and submits it; false if the ring buffer has no room.
#[inline(always)]
fn send<const ROOM: usize, const SLOT: usize>(call: Call, found: &Found) -> bool {
    let Some(mut slot) = EVENTS.reserve_bytes(SLOT, 0) else {
        return false;
    };
    let bytes: *mut u8 = slot.as_mut_ptr();
    // SAFETY: the slot begins with room for the record, and the ring buffer aligns it to eight bytes.
    unsafe { bytes.cast::<Call>().write(call) };
    write::<ROOM, 0>(bytes, found);
    write::<ROOM, 1>(bytes, found);
    write::<ROOM, 2>(bytes, found);
    write::<ROOM, 3>(bytes, found);
    slot.submit(wake_if_filling());
    true
}

/// Appends one of several texts. Each can take half of the room. The verifier tracks the limit of a text's start and of its length, but not
/// of their sum.
///
/// All counters are in the record itself. For numbers on the stack, the verifier follows every possible value through the texts that come
/// after. Kernels up to 6.1 exceed the verifier's limits on that.
#[inline(always)]
fn write<const ROOM: usize, const I: usize>(bytes: *mut u8, found: &Found) {
    let text = found.text[I];
    if text.len == 0 {
        return;
    }
    let capture = if found.is_joined { 0 } else { I };
    let call = bytes.cast::<Call>();
    // SAFETY: the slot begins with the record, which was written; only addresses are computed.
    let (len, text_len, text_total) = unsafe {
        (
            &raw mut (*call).header.len,
            &raw mut (*call).text_len[capture],
            &raw mut (*call).text_total[capture],
        )
    };
    let half = ROOM as u64 / 2;
    // SAFETY: as above. Volatile, so that it is read again.
    let mut start = u64::from(unsafe { len.read_volatile() });
    if found.is_joined && I > 0 && start < SIZE as u64 + half {
        // SAFETY: within the room.
        unsafe { behind(bytes, start, SIZE as u64 + half - 1).write(b':') };
        start += 1;
        change(len, |it| it + 1);
        change(text_total, |it| it.saturating_add(1));
        change(text_len, |it| it + 1);
    }
    if start > SIZE as u64 + half {
        change(text_total, |it| it.saturating_add(text.len as u32));
        return;
    }
    let n = at_most(text.len, half);
    let at = behind(bytes, start, SIZE as u64 + half);
    // SAFETY: `start + n` is at most the size of the slot.
    let ret = unsafe { copy_user(at.cast(), n as u32, text.at as *const _) };
    filled(bytes, capture, text.len, n, ret == 0);
}

/// Counts a text of `total` bytes, of which `n` were copied, or marks it as missing.
#[inline(always)]
fn filled(bytes: *mut u8, capture: usize, total: u64, n: u64, is_copied: bool) {
    let call = bytes.cast::<Call>();
    // SAFETY: the slot begins with the record, which was written; only addresses are computed.
    let (len, text_len, text_total, missing) = unsafe {
        (
            &raw mut (*call).header.len,
            &raw mut (*call).text_len[capture],
            &raw mut (*call).text_total[capture],
            &raw mut (*call).missing,
        )
    };
    change(text_total, |it| it.saturating_add(total as u32));
    if !is_copied {
        change(missing, |it| it | 1 << capture);
        return;
    }
    change(text_len, |it| it + n as u32);
    change(len, |it| it + n as u32);
}

/// Changes a number in the record.
#[inline(always)]
fn change<T>(number: *mut T, to: impl FnOnce(T) -> T) {
    // SAFETY: the number belongs to the record.
    let new = to(unsafe { number.read_volatile() });
    // SAFETY: as above.
    unsafe { number.write_volatile(new) };
}

#[inline(always)]
fn argument(ctx: &ProbeContext, i: u8) -> u64 {
    let [a, b, c, d, e, f, g, h, _] = REGISTERS.0;
    match i {
        0 => register(ctx, a),
        1 => register(ctx, b),
        2 => register(ctx, c),
        3 => register(ctx, d),
        4 => register(ctx, e),
        5 => register(ctx, f),
        6 => register(ctx, g),
        7 => register(ctx, h),
        _ => register(ctx, REGISTERS.0[8]),
    }
}

/// One register at the moment of the hit. The value is hidden from the optimizer, which would otherwise merge several reads into one at a
/// computed address. The verifier requires a constant offset in the context.
#[inline(always)]
fn register(ctx: &ProbeContext, i: usize) -> u64 {
    // SAFETY: the context is a `pt_regs`, and these are its words.
    opaque(unsafe { ctx.as_ptr().cast::<u64>().add(i).read_volatile() })
}

/// A word of the process's memory.
#[inline(always)]
fn user_word(at: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(at as *const u64) }.ok()
}
