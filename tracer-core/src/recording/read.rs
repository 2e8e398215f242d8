//! Converts lines to events.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use crate::decode::PointKind;
use crate::event::Event;

use super::{EndLine, FORMAT, Header, LINE_MAX, VERSION};

/// Reads a recording, compressed or not, one event at a time. After the last event, [`Reader::summary`] describes the end.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    header: Header,
    lines: Lines<R>,
    n_events: u64,
    n_skipped: u64,
    damage: Option<Damage>,
    is_done: bool,
}

/// The end of a recording.
#[derive(Debug)]
pub struct Summary {
    pub n_events: u64,
    /// Lines of kinds that only a newer gotrace can read.
    pub n_skipped: u64,
    /// The reason why reading stopped after the last event, if the recording did not end there.
    pub damage: Option<Damage>,
}

/// The reason why a recording cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read the recording: {0}")]
    Read(io::Error),
    #[error("not a recording of gotrace: make one with `gotrace record -o FILE -- COMMAND`")]
    NotARecording,
    #[error(
        "the recording has version {found}, this gotrace reads version {VERSION}: use a newer gotrace"
    )]
    Newer { found: u64 },
    #[error("the first line of the recording is damaged, and nothing can be read without it: {0}")]
    Header(serde_json::Error),
}

/// The reason why a recording cannot be read to its end. The part before was read.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error(
        "the recording stops after line {line}, without its end mark: the file was cut, or gotrace was killed"
    )]
    Cut { line: u64 },
    #[error("the recording cannot be read after line {line}: {error}")]
    Read { line: u64, error: io::Error },
    #[error("line {line} of the recording is longer than {LINE_MAX} bytes")]
    TooLong { line: u64 },
    #[error("line {line} of the recording is not an event: {error}")]
    NotAnEvent { line: u64, error: serde_json::Error },
    #[error(
        "lines are missing: the end mark in line {line} counts {expected} events, and the recording has {found} before it"
    )]
    Count {
        line: u64,
        found: u64,
        expected: u64,
    },
}

impl<R: BufRead> Reader<R> {
    pub fn open(input: R) -> Result<Self, OpenError> {
        let mut lines = Lines::new(input).map_err(OpenError::Read)?;
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) | Err(Damage::TooLong { .. }) => return Err(OpenError::NotARecording),
            // The input is compressed, but was cut within the first block.
            Err(Damage::Read { error, .. }) => return Err(OpenError::Read(error)),
            Err(Damage::Cut { .. } | Damage::NotAnEvent { .. } | Damage::Count { .. }) => {
                return Err(OpenError::NotARecording);
            }
        };
        let preface: Preface<'_> =
            serde_json::from_slice(line).map_err(|_| OpenError::NotARecording)?;
        if preface.format != FORMAT {
            return Err(OpenError::NotARecording);
        }
        if preface.version > u64::from(VERSION) {
            return Err(OpenError::Newer {
                found: preface.version,
            });
        }
        let header = serde_json::from_slice(line).map_err(OpenError::Header)?;
        Ok(Self {
            header,
            lines,
            n_events: 0,
            n_skipped: 0,
            damage: None,
            is_done: false,
        })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The state so far; final after the iterator has ended.
    pub fn summary(self) -> Summary {
        let Self {
            header: _,
            lines: _,
            n_events,
            n_skipped,
            damage,
            is_done: _,
        } = self;
        Summary {
            n_events,
            n_skipped,
            damage,
        }
    }

    /// The next event; `None` at the end mark.
    fn event(&mut self) -> Result<Option<Event>, Damage> {
        loop {
            let Some(line) = self.lines.next()? else {
                return Err(Damage::Cut { line: self.lines.n });
            };
            let error = match serde_json::from_slice(line) {
                Ok(event) => {
                    self.n_events += 1;
                    return Ok(Some(event));
                }
                Err(error) => error,
            };
            if let Ok(EndLine {
                event: _,
                n_events: expected,
            }) = serde_json::from_slice(line)
            {
                let (line, found) = (self.lines.n, self.n_events + self.n_skipped);
                return if found == expected {
                    Ok(None)
                } else {
                    Err(Damage::Count {
                        line,
                        found,
                        expected,
                    })
                };
            }
            if !is_newer(line) {
                return Err(Damage::NotAnEvent {
                    line: self.lines.n,
                    error,
                });
            }
            self.n_skipped += 1;
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.is_done {
            return None;
        }
        match self.event() {
            Ok(Some(event)) => return Some(event),
            Ok(None) => {}
            Err(damage) => self.damage = Some(damage),
        }
        self.is_done = true;
        None
    }
}

/// The fields that every version of the format begins with.
#[derive(Deserialize)]
struct Preface<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    version: u64,
}

/// The fields of a line that decide whether its kind is known.
#[derive(Deserialize)]
struct Tags<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default)]
    point: serde_json::Value,
}

/// Kinds of event, as written in a line.
pub(super) const KINDS: [&str; 14] = [
    "fork",
    "exec",
    "exit",
    "rename",
    "call",
    "lineage",
    "tool",
    "settings",
    "response_file",
    "inspected",
    "checked_out",
    "build_info",
    "lost",
    "unreadable",
];

/// True if an unreadable line has a kind, or a point, that only a later gotrace can read.
fn is_newer(line: &[u8]) -> bool {
    let Ok(Tags { event, point }) = serde_json::from_slice(line) else {
        return false;
    };
    if !KINDS.contains(&event.as_ref()) {
        return true;
    }
    let tag = point.get("point").filter(|it| it.is_string());
    event == "call" && tag.is_some_and(|it| PointKind::deserialize(it).is_err())
}

/// The lines of an input, one at a time, none longer than [`LINE_MAX`].
#[derive(Debug)]
struct Lines<R: BufRead> {
    input: Input<R>,
    line: Vec<u8>,
    /// Number of lines read.
    n: u64,
}

#[derive(Debug)]
enum Input<R: BufRead> {
    Plain(R),
    Gzip(Box<BufReader<MultiGzDecoder<R>>>),
}

impl<R: BufRead> Lines<R> {
    fn new(mut input: R) -> io::Result<Self> {
        let is_gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let input = if is_gzip {
            Input::Gzip(Box::new(BufReader::new(MultiGzDecoder::new(input))))
        } else {
            Input::Plain(input)
        };
        Ok(Self {
            input,
            line: Vec::new(),
            n: 0,
        })
    }

    /// The next line without its line feed; `None` after the last.
    fn next(&mut self) -> Result<Option<&[u8]>, Damage> {
        self.line.clear();
        let limit = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        let read = match &mut self.input {
            Input::Plain(input) => input.take(limit).read_until(b'\n', &mut self.line),
            Input::Gzip(input) => input.take(limit).read_until(b'\n', &mut self.line),
        };
        let n_bytes = read.map_err(|error| Damage::Read {
            line: self.n,
            error,
        })?;
        match self.line.strip_suffix(b"\n") {
            Some(line) => {
                self.n += 1;
                Ok(Some(line))
            }
            None if n_bytes == LINE_MAX => Err(Damage::TooLong { line: self.n + 1 }),
            None if n_bytes == 0 => Ok(None),
            None => Err(Damage::Cut { line: self.n }),
        }
    }
}
