//! Converts records to events. No other module reads the bytes of the kernel side.
//!
//! The input is the bytes of one record; the output is always an owned, redacted [`Event`]. An unreadable record becomes
//! [`Event::Unreadable`]. Lengths are checked against the bytes that are present; contents are not trusted. This module does not order,
//! match or count records.

mod call;
mod digest;
mod exec;
mod plain;
mod removed;
mod usage;
mod variable;

use tracer_abi as abi;
use zerocopy::FromBytes;

use crate::byte_string::ByteString;
use crate::event::{
    Ancestor, Captured, Event, Exit, Fork, Ktime, Lineage, ProcKey, Reaped, Rename, Tgid,
    Unreadable,
};
use crate::redact;

use plain::PlainTexts;

pub use call::PointKind;
pub use digest::DigestKey;

/// Converts records to events, with the facts that the records do not contain.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// By index into the table of probe specifications.
    points: Vec<PointKind>,
    /// In bytes.
    page_size: u64,
    /// Key of the digests that replace the values of variables.
    digest_key: Option<DigestKey>,
    plain: Plain,
}

/// Texts without a secret, by the rule that found none.
#[derive(Clone, Debug, Default)]
struct Plain {
    key_lines: PlainTexts,
    texts: PlainTexts,
}

/// The reason why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the record is shorter than its kind requires")]
    Short,
    #[error("the length in the record exceeds the received bytes")]
    Cut,
    #[error("the length of a part exceeds the record")]
    Overrun,
    #[error("unknown kind of record")]
    Kind,
    #[error("unknown probe")]
    Probe,
    #[error("the address of the cache key could not be read")]
    Address,
}

impl Decoder {
    /// A decoder for a table of probes and a page size in bytes. `points[i]` is the point of the probe with specification `i`.
    pub fn new(points: Vec<PointKind>, page_size: u64) -> Self {
        Self {
            points,
            page_size,
            digest_key: None,
            plain: Plain::default(),
        }
    }

    /// The same decoder with digests by this key, so that a change of a variable in a cache key is visible. Without a key it is not
    /// visible.
    #[must_use]
    pub fn with_digest_key(self, key: DigestKey) -> Self {
        Self {
            digest_key: Some(key),
            ..self
        }
    }

    /// Reads one record. Bytes after the length in the record are padding of its slot and are ignored.
    pub fn decode(&mut self, bytes: &[u8]) -> Event {
        let header = abi::Header::read_from_prefix(bytes)
            .ok()
            .map(|(header, _)| header);
        let kind = header.map_or(0, |it| it.kind.0);
        let decoded = match header {
            None => Err(DecodeError::Short),
            Some(header) => usize::try_from(header.len)
                .ok()
                .and_then(|len| bytes.get(..len))
                .ok_or(DecodeError::Cut)
                .and_then(|record| self.decode_kind(header, record)),
        };
        decoded.unwrap_or_else(|error| {
            Event::Unreadable(Unreadable {
                kind,
                len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                why: error.to_string(),
            })
        })
    }

    fn decode_kind(&mut self, header: abi::Header, record: &[u8]) -> Result<Event, DecodeError> {
        match header.kind {
            abi::Kind::FORK => {
                let (fork, _) = read::<abi::Fork>(record)?;
                let child = ProcKey {
                    tgid: Tgid(fork.child),
                    born: Ktime(fork.child_born_ns),
                };
                Ok(Event::Fork(Fork {
                    at: at(header),
                    parent: process(header),
                    child,
                }))
            }
            abi::Kind::EXEC => {
                let (exec, tail) = read::<abi::Exec>(record)?;
                exec::decode(&exec, Tail(tail)).map(|it| Event::Exec(Box::new(it)))
            }
            abi::Kind::EXIT => {
                let (exit, _) = read::<abi::Exit>(record)?;
                Ok(Event::Exit(Exit {
                    at: at(header),
                    process: process(header),
                    status: usage::status(exit.status),
                    usage: usage::usage(&exit, self.page_size),
                    is_oom_victim: exit.is_oom_victim != 0,
                }))
            }
            abi::Kind::REAPED => {
                let (reaped, _) = read::<abi::Reaped>(record)?;
                let (user_ns, system_ns) = usage::times(&reaped);
                Ok(Event::Reaped(Reaped {
                    at: at(header),
                    process: process(header),
                    ended: Some(Ktime(reaped.ended_ns)).filter(|it| it.0 != 0),
                    user_ns,
                    system_ns,
                    is_oom_victim: reaped.is_oom_victim != 0,
                }))
            }
            abi::Kind::RENAME => {
                let (rename, tail) = read::<abi::Rename>(record)?;
                let mut tail = Tail(tail);
                let (old, new) = (tail.take(rename.old_len)?, tail.take(rename.new_len)?);
                Ok(Event::Rename(Rename {
                    at: at(header),
                    process: process(header),
                    errno: u16::try_from(rename.ret.unsigned_abs()).unwrap_or(u16::MAX),
                    old: path(old),
                    new: path(new),
                    at_cwd: is_at_cwd(rename.old_dir, old) && is_at_cwd(rename.new_dir, new),
                }))
            }
            abi::Kind::LINEAGE => {
                let (lineage, _) = read::<abi::Lineage>(record)?;
                let n = usize::try_from(lineage.n).map_err(|_| DecodeError::Overrun)?;
                let above = lineage.above.get(..n).ok_or(DecodeError::Overrun)?;
                Ok(Event::Lineage(Lineage {
                    at: at(header),
                    process: process(header),
                    above: above.iter().map(ancestor).collect(),
                }))
            }
            abi::Kind::CALL => {
                let (call, tail) = read::<abi::Call>(record)?;
                call::decode(self, &call, Tail(tail)).map(Event::Call)
            }
            _ => Err(DecodeError::Kind),
        }
    }
}

/// The fixed part of a record, and the bytes after it.
fn read<T: FromBytes>(record: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    T::read_from_prefix(record).map_err(|_| DecodeError::Short)
}

fn at(header: abi::Header) -> Ktime {
    Ktime(header.ktime_ns)
}

fn process(header: abi::Header) -> ProcKey {
    ProcKey {
        tgid: Tgid(header.tgid),
        born: Ktime(header.born_ns),
    }
}

fn ancestor(above: &abi::Above) -> Ancestor {
    let len = above.name.iter().position(|it| *it == 0);
    let name = above.name.get(..len.unwrap_or(above.name.len()));
    Ancestor {
        process: ProcKey {
            tgid: Tgid(above.tgid),
            born: Ktime(above.born_ns),
        },
        name: name.unwrap_or_default().into(),
    }
}

/// A path of a system call. Such a path is never empty, so zero bytes mean that it could not be read.
fn path(bytes: &[u8]) -> Captured<ByteString> {
    let kept = redact::name(bytes).as_ref().into();
    match bytes {
        b"" => Captured::Missing,
        _ if bytes.len() >= abi::PATH_MAX => Captured::Cut {
            kept,
            total: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        },
        _ => Captured::Whole(kept),
    }
}

fn is_at_cwd(dir: i32, path: &[u8]) -> bool {
    const AT_FDCWD: i32 = -100;
    dir == AT_FDCWD || path.starts_with(b"/")
}

/// The variable parts after a record's fixed part, one after another.
struct Tail<'a>(&'a [u8]);

impl<'a> Tail<'a> {
    fn take(&mut self, len: u32) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Overrun)?;
        let (part, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Overrun)?;
        self.0 = rest;
        Ok(part)
    }
}

#[cfg(test)]
mod tests;
