//! Selects the spans of the `go` command to record, and matches the end of a span to its start.
//!
//! A warm build has thousands of spans, nearly all of them about loading packages. Spans without a listed prefix are not sent, and neither
//! are their ends. An end does not name its span; it belongs to the innermost span of the goroutine.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_abi::{PREFIX_WORDS, PREFIXES_MAX, span};

use crate::{
    maps::{PREFIXES, SPANS},
    verifier::bounds::{at_most, opaque},
};

/// Depth up to which `recorded` remembers which spans were recorded. Deeper spans are all recorded.
const DEPTH_MAX: u64 = 64;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Goroutine {
    /// Address of its `g`.
    pub g: u64,
    pub tgid: u64,
}

/// The open spans of a goroutine.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Open {
    /// Bit i: the span i levels outside the innermost is recorded.
    recorded: u64,
    depth: u64,
}

/// True if this call is recorded. `text` and `len` belong to its first capture.
#[inline(always)]
pub fn is_recorded(kind: u32, goroutine: Goroutine, text: u64, len: u64) -> bool {
    match kind {
        span::OPENS => {
            let is_wanted = is_wanted(text, len);
            open(goroutine, is_wanted);
            is_wanted
        }
        span::CLOSES => close(goroutine),
        _ => true,
    }
}

#[inline(always)]
fn open(goroutine: Goroutine, is_wanted: bool) {
    // SAFETY: only the thread that runs the goroutine uses its entry.
    let mut open = unsafe { SPANS.get(goroutine) }.copied().unwrap_or(Open {
        recorded: 0,
        depth: 0,
    });
    open.recorded = open.recorded << 1 | u64::from(is_wanted);
    open.depth += 1;
    // An LRU map evicts an entry if it is full.
    let _ = SPANS.insert(goroutine, open, 0);
}

/// True if the ending span was recorded. An end without a start is recorded too; user space reports it.
#[inline(always)]
fn close(goroutine: Goroutine) -> bool {
    let Some(open) = SPANS.get_ptr_mut(goroutine) else {
        return true;
    };
    // SAFETY: the map keeps the element while the program runs; as above.
    let Open { recorded, depth } = unsafe { open.read() };
    if depth <= 1 {
        let _ = SPANS.remove(goroutine);
    } else {
        let left = Open {
            recorded: recorded >> 1,
            depth: depth - 1,
        };
        // SAFETY: as above.
        unsafe { open.write(left) };
    }
    depth > DEPTH_MAX || recorded & 1 != 0
}

/// True if the text has one of the listed prefixes, or cannot be read.
#[inline(always)]
fn is_wanted(text: u64, len: u64) -> bool {
    // Not a constant: a constant array is cleared by a function call, see `exec::current_name`.
    let mut words = [opaque(0); PREFIX_WORDS];
    let n = at_most(len, size_of_val(&words) as u64);
    // SAFETY: the array holds as many bytes; the helper checks the source.
    if unsafe { bpf_probe_read_user(words.as_mut_ptr().cast(), n as u32, text as *const _) } != 0 {
        return true;
    }
    for i in 0..PREFIXES_MAX as u32 {
        match PREFIXES.get(i) {
            Some(prefix) if prefix.mask[0] == 0 => return i == 0,
            Some(prefix) if prefix.begins(&words) => return true,
            _ => {}
        }
    }
    false
}
