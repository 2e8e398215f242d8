//! What the two parts of the agent say to each other: words of the watcher, answers of the keeper, each a frame of a length and JSON.
//!
//! Both ends are the same executable, so there is no version. Neither believes the other more than it must: a frame has a bound, and
//! what cannot be read ends the talk. Nothing here reads or writes; bytes are fed in and come out.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracer_core::history::Entry;
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use crate::config::File;
use crate::driver::ObserverStatus;

/// Bytes of one word of the watcher at most. The trace of a build with all of the standard library in it is about a hundredth of that.
pub(super) const WORD_LIMIT: usize = 256 << 20;
/// Bytes of one answer of the keeper at most.
pub(super) const ANSWER_LIMIT: usize = 64 << 10;
/// The length of what follows.
const HEAD: usize = size_of::<u32>();

/// What the watcher says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// The first word. The configuration is what the watcher read, who may read it. If an earlier keeper is gone, up to which trace that one had been told: what it has stored of
    /// those is stored.
    Begin { again: Option<u64>, file: File },
    /// The kernel programs are at work.
    Follow { n_probes: usize },
    /// A build has begun.
    Begun(Box<Entry>),
    /// The builds of this trace are over. Numbers only grow. Another agent may have had some of them stored.
    Ended {
        n: u64,
        is_known: bool,
        trace: Box<Trace>,
    },
    /// How the watcher is doing: about once a second.
    Status(Box<ObserverStatus>),
    /// The operator asks to take the configuration over as it is now; if it cannot be read, why.
    Reload { file: Result<File, String> },
    /// Nothing follows. `until` is an instant on the boot clock.
    End { until_ns: u64, n_dropped: u64 },
}

/// What the keeper answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To [`Word::Begin`]: the history is open.
    Opened { detail: Detail },
    /// To [`Word::Follow`].
    Following,
    /// Traces up to this one are stored, or were given up and counted.
    Stored { up_to: u64 },
    /// To [`Word::Reload`], if it was taken over.
    Reloaded { detail: Detail },
    /// It cannot go on, and ends.
    Failed { sentence: String },
}

/// Why the other side cannot be understood.
#[derive(Debug, Error)]
pub(super) enum Garbled {
    #[error("{len} bytes at once, and at most {limit} are taken")]
    TooLong { len: usize, limit: usize },
    #[error("not what was expected: {0}")]
    Json(#[from] serde_json::Error),
}

/// The frame of something, if it is no longer than that.
pub(super) fn encode(it: &impl Serialize, limit: usize) -> Result<Bytes, Garbled> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, it)?;
    let len = frame.len() - HEAD;
    let head = u32::try_from(len).ok().filter(|_| len <= limit);
    let head = head.ok_or(Garbled::TooLong { len, limit })?;
    if let Some(to) = frame.first_chunk_mut() {
        *to = head.to_le_bytes();
    }
    Ok(frame.into())
}

/// Frames out of a stream of bytes.
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

    /// Holds at most one frame and what is fed at once, if all whole ones are taken out each time.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.fed.extend_from_slice(bytes);
    }

    /// The next one that is whole. After an error nothing that follows means anything.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Garbled> {
        let Some((head, rest)) = self.fed.split_first_chunk() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_le_bytes(*head)).unwrap_or(usize::MAX);
        if len > self.limit {
            let limit = self.limit;
            return Err(Garbled::TooLong { len, limit });
        }
        let Some(text) = rest.get(..len) else {
            return Ok(None);
        };
        let it = serde_json::from_slice(text)?;
        self.fed.drain(..HEAD + len);
        if self.fed.is_empty() {
            // What a large one took is not kept for small ones.
            self.fed = Vec::new();
        }
        Ok(Some(it))
    }
}

#[cfg(test)]
mod tests;
