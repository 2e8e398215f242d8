//! The messages between the two processes of the agent: requests of the observer and responses of the storage process.
//! Each message is a frame: a length and JSON.
//!
//! Both ends run the same executable, so frames have no version. The two trust each other as little as possible: the
//! length of a frame is limited, and an unreadable frame ends the connection. This module does no input or output.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracer_core::history::Entry;
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use crate::config::File;
use crate::driver::ObserverStatus;
use crate::log::LogConfig;

/// Longest request in bytes. The trace of a build that includes the whole standard library has about a hundredth of it.
pub(super) const REQUEST_LIMIT: usize = 256 << 20;
/// Longest response in bytes.
pub(super) const RESPONSE_LIMIT: usize = 64 << 10;
/// Size of the length field.
const HEADER_LEN: usize = size_of::<u32>();

/// A message of the observer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The first request. `file` is the configuration as the observer read it. After a restart, `again` is the number
    /// of the last trace that the earlier storage process received and may have stored.
    Begin { again: Option<u64>, file: File },
    /// The kernel programs are attached.
    Follow { n_probes: usize },
    /// A build has begun.
    Begun(Box<Entry>),
    /// The builds of this trace have ended. `n` only grows. `is_known` is true if another agent may have stored some of
    /// the builds.
    Ended {
        n: u64,
        is_known: bool,
        trace: Box<Trace>,
    },
    /// The status of the observer, about once a second.
    Status(Box<ObserverStatus>),
    /// The operator reloads the configuration. The error is the reason why the file cannot be read.
    Reload { file: Result<File, String> },
    /// The last request. `until_ns` is an instant of the boot clock.
    End { until_ns: u64, n_dropped: u64 },
}

/// A message of the storage process.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Response {
    /// Confirms [`Request::Begin`]: the history is open.
    Opened { detail: Detail },
    /// Confirms [`Request::Follow`].
    Following,
    /// All traces up to this number are stored, or dropped and counted.
    Stored { up_to: u64 },
    /// Confirms [`Request::Reload`], if the configuration was applied.
    Reloaded { detail: Detail, log: LogConfig },
    /// The storage process ends because of an error.
    Failed { sentence: String },
}

/// The reason why a frame cannot be written or read.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    #[error("a message has {len} bytes, the limit is {limit}")]
    TooLong { len: usize, limit: usize },
    #[error("a message is malformed: {0}")]
    Json(#[from] serde_json::Error),
}

/// Encodes a message as a frame. Fails if its JSON is longer than the limit.
pub(super) fn encode(it: &impl Serialize, limit: usize) -> Result<Bytes, FrameError> {
    let mut frame = vec![0; HEADER_LEN];
    serde_json::to_writer(&mut frame, it)?;
    let len = frame.len() - HEADER_LEN;
    let head = u32::try_from(len).ok().filter(|_| len <= limit);
    let head = head.ok_or(FrameError::TooLong { len, limit })?;
    if let Some(to) = frame.first_chunk_mut() {
        *to = head.to_le_bytes();
    }
    Ok(frame.into())
}

/// Decodes frames from a stream of bytes.
#[derive(Debug)]
pub(super) struct Frames {
    limit: usize,
    fed: Vec<u8>,
}

impl Frames {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            fed: Vec::new(),
        }
    }

    /// Adds bytes. If the caller takes all complete frames after each call, at most one frame and the last bytes are held.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.fed.extend_from_slice(bytes);
    }

    /// Returns the next complete frame. After an error, the rest of the stream is meaningless.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((head, rest)) = self.fed.split_first_chunk() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if len > self.limit {
            let limit = self.limit;
            return Err(FrameError::TooLong { len, limit });
        }
        let Some(text) = rest.get(..len) else {
            return Ok(None);
        };
        let it = serde_json::from_slice(text)?;
        self.fed.drain(..HEADER_LEN + len);
        if self.fed.is_empty() {
            // The memory of a large frame is freed.
            self.fed = Vec::new();
        }
        Ok(Some(it))
    }
}

#[cfg(test)]
mod tests;
