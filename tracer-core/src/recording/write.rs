//! Converts events to lines.

use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::event::{Event, Unreadable};

use super::{EndLine, EndMark, Header, LINE_MAX};

/// Bytes that are compressed at once.
const BUFFER: usize = 32 << 10;

/// Writes a compressed recording. If it is dropped without [`Writer::finish`], the end mark is missing and its reader reports that.
#[derive(Debug)]
pub struct Writer<W: Write> {
    /// Buffered, because the encoder clears 32 KiB for each write.
    output: BufWriter<GzEncoder<W>>,
    line: Vec<u8>,
    n_events: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(inner: W, header: &Header) -> io::Result<Self> {
        // The fast level, because the recording is written while the build runs.
        let encoder = GzEncoder::new(inner, Compression::fast());
        let mut writer = Self {
            output: BufWriter::with_capacity(BUFFER, encoder),
            line: Vec::new(),
            n_events: 0,
        };
        writer.fill(header)?;
        writer.put()?;
        Ok(writer)
    }

    /// Adds an event. An event that is too long for a reader is recorded as unreadable.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.fill(event)?;
        if self.line.len() > LINE_MAX {
            let len = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
            let why = "too long for a recording".to_owned();
            self.fill(&Event::Unreadable(Unreadable { kind: 0, len, why }))?;
        }
        self.put()?;
        self.n_events += 1;
        Ok(())
    }

    /// Writes out everything added so far so that it can be read, at the cost of some compression.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Adds the end mark and returns the inner writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.fill(&EndLine {
            event: EndMark::End,
            n_events: self.n_events,
        })?;
        self.put()?;
        let encoder = self
            .output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        let mut inner = encoder.finish()?;
        inner.flush()?;
        Ok(inner)
    }

    fn fill(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        Ok(())
    }

    fn put(&mut self) -> io::Result<()> {
        self.output.write_all(&self.line)
    }
}
