//! Decodes a record of a call of a probed function: the meaning of its captures.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tracer_abi as abi;

use crate::byte_string::ByteString;
use crate::event::{Call, Captured, Point};
use crate::redact;

use super::digest::DigestKey;
use super::plain::PlainTexts;
use super::removed::with_digests;
use super::variable::without_hashes;
use super::{DecodeError, Decoder, Tail, at, process};

/// The function that a probe is attached to; it names the variant of [`Point`] for its calls. A probe's captures are in the order of that
/// variant's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// Text: name.
    SpanStart,
    SpanDone,
    /// Texts: target, built.
    Install,
    /// Texts: to, from.
    MoveOrCopy,
    /// Texts joined by `:`.
    CompilePhase,
    /// Text: name.
    LinkPhase,
    /// Word: bytes.
    GcStart,
    /// Word: bytes.
    GcEnd,
    /// Text: name.
    KeyOpen,
    /// Word: address; text: line.
    KeyWrite,
    /// Word: address.
    KeySum,
    /// Text: format.
    Fatal,
}

pub(super) fn decode(
    decoder: &mut Decoder,
    record: &abi::Call,
    tail: Tail<'_>,
) -> Result<Call, DecodeError> {
    let kind = decoder
        .points
        .get(usize::from(record.spec))
        .copied()
        .ok_or(DecodeError::Probe)?;
    let Decoder {
        digest_key, plain, ..
    } = decoder;
    let captures = Captures::read(record, tail)?;
    let mut text = |i| captures.text(i, &mut plain.texts);
    let point = match kind {
        PointKind::SpanStart => Point::SpanStart { name: text(0) },
        PointKind::SpanDone => Point::SpanDone,
        // Paths are compared with others, so they stay unchanged.
        PointKind::Install => Point::Install {
            target: captures.path(0),
            built: captures.path(1),
        },
        PointKind::MoveOrCopy => Point::MoveOrCopy {
            to: captures.path(0),
            from: captures.path(1),
        },
        PointKind::CompilePhase => Point::CompilePhase { name: text(0) },
        PointKind::LinkPhase => Point::LinkPhase { name: text(0) },
        PointKind::GcStart => Point::GcStart {
            heap_live: captures.word(0),
        },
        PointKind::GcEnd => Point::GcEnd {
            heap_marked: captures.word(0),
        },
        PointKind::KeyOpen => Point::KeyOpen { name: text(0) },
        PointKind::KeyWrite => Point::KeyWrite {
            hash: captures.word(0).ok_or(DecodeError::Address)?,
            line: captures.key_line(1, digest_key.as_ref(), &mut plain.key_lines),
        },
        PointKind::KeySum => Point::KeySum {
            hash: captures.word(0).ok_or(DecodeError::Address)?,
        },
        PointKind::Fatal => Point::Fatal { format: text(0) },
    };
    Ok(Call {
        at: at(record.header),
        process: process(record.header),
        goroutine: record.goroutine,
        point,
    })
}

/// The result of each capture.
struct Captures<'a>([CapturedValue<'a>; abi::CAPTURES]);

#[derive(Clone, Copy, Default)]
struct CapturedValue<'a> {
    is_missing: bool,
    word: u64,
    text: &'a [u8],
    /// Length of the text in bytes.
    total: u32,
}

impl<'a> Captures<'a> {
    fn read(record: &abi::Call, mut tail: Tail<'a>) -> Result<Self, DecodeError> {
        let mut captures = [CapturedValue::default(); abi::CAPTURES];
        let fields = record
            .value
            .iter()
            .zip(&record.text_total)
            .zip(&record.text_len);
        for (i, (capture, ((word, total), len))) in captures.iter_mut().zip(fields).enumerate() {
            *capture = CapturedValue {
                is_missing: record.missing & (1 << i) != 0,
                word: *word,
                text: tail.take(*len)?,
                total: *total,
            };
        }
        Ok(Self(captures))
    }

    fn get(&self, i: usize) -> CapturedValue<'a> {
        self.0.get(i).copied().unwrap_or_default()
    }

    fn word(&self, i: usize) -> Option<u64> {
        let capture = self.get(i);
        (!capture.is_missing).then_some(capture.word)
    }

    fn text(&self, i: usize, plain: &mut PlainTexts) -> Captured<ByteString> {
        self.get(i)
            .remembered(plain, |it| it.redacted(it.text, redact::text))
    }

    fn path(&self, i: usize) -> Captured<ByteString> {
        self.redacted(i, redact::name)
    }

    /// A piece that is written into a cache key at once.
    fn key_line(
        &self,
        i: usize,
        key: Option<&DigestKey>,
        plain: &mut PlainTexts,
    ) -> Captured<ByteString> {
        self.get(i).remembered(plain, |it| {
            let text = without_hashes(key, it.text, it.is_cut());
            it.redacted(&text, |it| with_digests(key, it, redact::key_line(it)))
        })
    }

    fn redacted(&self, i: usize, rule: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> Captured<ByteString> {
        let CapturedValue { text, .. } = self.get(i);
        self.get(i).redacted(text, rule)
    }
}

impl CapturedValue<'_> {
    fn is_cut(&self) -> bool {
        u32::try_from(self.text.len()).is_ok_and(|len| len < self.total)
    }

    /// The result of `redacted`, which is not called for a text that it did not change before.
    fn remembered(
        self,
        plain: &mut PlainTexts,
        redacted: impl FnOnce(Self) -> Captured<ByteString>,
    ) -> Captured<ByteString> {
        if self.is_missing || self.is_cut() {
            return redacted(self);
        }
        if plain.contains(self.text) {
            return Captured::Whole(self.text.into());
        }
        let captured = redacted(self);
        if matches!(&captured, Captured::Whole(it) if it.as_bytes() == self.text) {
            plain.insert(self.text);
        }
        captured
    }

    /// `text` is the part of the captured text to keep, before secrets are removed.
    fn redacted(&self, text: &[u8], rule: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> Captured<ByteString> {
        let CapturedValue {
            is_missing, total, ..
        } = *self;
        if is_missing {
            return Captured::Missing;
        }
        let kept = rule(text);
        if self.is_cut() {
            return Captured::Cut {
                kept: redact::cut_end(&kept).as_ref().into(),
                total: u64::from(total),
            };
        }
        Captured::Whole(kept.as_ref().into())
    }
}
