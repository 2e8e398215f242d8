//! Reads outputs on a thread of its own: hashing a large file must not keep the ring from being drained.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Inspected, ProcKey};

use super::clock;
use crate::inspect::{self, OUTPUT_LIMIT, Reader, Refused, Root};

/// A file to read.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) process: ProcKey,
    pub(super) path: ByteString,
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// The reading thread. It ends when this is dropped and the file in hand is read; a process that ends does not wait for it.
#[derive(Debug)]
pub(super) struct Inspector {
    questions: Sender<Question>,
    answers: Receiver<Inspected>,
    /// Readable while there are answers.
    bell: Arc<OwnedFd>,
    n_pending: usize,
}

impl Inspector {
    pub(super) fn start() -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (questions, asked) = channel::<Question>();
        let (answer, answers) = channel();
        let ring_bell = Arc::clone(&bell);
        thread::Builder::new()
            .name("inspector".to_owned())
            .spawn(move || {
                for question in asked {
                    if answer.send(question.answer()).is_err() {
                        break;
                    }
                    // Full means that it is ringing already.
                    let _ringing = rustix::io::write(&ring_bell, &1_u64.to_ne_bytes());
                }
            })?;
        Ok(Self {
            questions,
            answers,
            bell,
            n_pending: 0,
        })
    }

    pub(super) fn ask(&mut self, question: Question) {
        // The thread only ends when we do.
        if self.questions.send(question).is_ok() {
            self.n_pending += 1;
        }
    }

    /// What has been read since the last call.
    pub(super) fn answers(&mut self) -> Vec<Inspected> {
        // Silenced first: an answer that comes after this rings again.
        let _silent = rustix::io::read(&self.bell, &mut [0; 8]);
        let answers: Vec<Inspected> = self.answers.try_iter().collect();
        self.n_pending = self.n_pending.saturating_sub(answers.len());
        answers
    }

    pub(super) fn n_pending(&self) -> usize {
        self.n_pending
    }
}

impl AsFd for Inspector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Question {
    fn answer(self) -> Inspected {
        let Self {
            process,
            path,
            uid,
            root,
        } = self;
        let result =
            read(&root, inspect::as_path(&path), uid).map_err(|refused| refused.to_string());
        Inspected {
            at: clock::boot(),
            process,
            path,
            result,
        }
    }
}

fn read(root: &Root, path: &Path, uid: u32) -> Result<tracer_core::event::Artifact, Refused> {
    root.open(path, Reader { uid, public: false }, OUTPUT_LIMIT)?
        .artifact()
}
