//! The part of the agent that has no power: the child of the watcher that stores what it is told, serves it, and sends it on.
//!
//! Before all else it gives up what rights it has. Then it does what its standard input says, a word after another, and answers there.
//! It ends when it is told to, and when nobody is left to tell it anything. No signal ends it in between: a terminal and a service
//! manager send theirs to both parts, and builds that the watcher has to tell would be lost.

mod books;
mod finish;
mod open;
mod stats;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::Errno;

use self::books::Books;
use super::pipe::{ANSWER_LIMIT, Answer, Frames, WORD_LIMIT, Word, encode};
use super::{END, Load};
use crate::clock;
use crate::launch::signal::Signals;
use crate::sandbox;

/// The word with which gotrace starts itself as this child. It is of no use to anybody else.
pub const WORD: &str = "keep-builds";
/// Seconds that it has to end by itself when the watcher is gone, which would otherwise see to that.
const LAST: libc::c_uint = 6;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Keeps what the watcher tells. `load` makes a configuration of the file that the watcher read, `tell` is given sentences for the operator. Why it failed is told to
/// the watcher; what it returns is the exit code, whether it did.
pub fn keep(load: Load<'_>, tell: fn(&str)) -> bool {
    let walls = sandbox::drop_privileges()
        .context("cannot give up the rights that the keeper of the history does not need");
    let line = match Line::of_watcher() {
        Ok(line) => line,
        Err(error) => {
            tell(&format!("this word is for gotrace itself: {error}"));
            return true;
        }
    };
    let mut line = line;
    let kept = walls.and_then(|_| serve(&mut line, load, tell));
    let Err(error) = kept else {
        return false;
    };
    let sentence = format!("{error:#}");
    let told = line.answer(&Answer::Failed {
        sentence: sentence.clone(),
    });
    if told.is_err() {
        tell(&sentence);
    }
    true
}

fn serve(line: &mut Line, load: Load<'_>, tell: fn(&str)) -> anyhow::Result<()> {
    // Taken and never read: they have no effect here.
    let _signals = Signals::take()?;
    let Some(Word::Begin { again, file }) = line.next()? else {
        return Ok(());
    };
    let mut books = Books::open(load, &file, again, tell)?;
    let detail = books.detail();
    line.answer(&Answer::Opened { detail })?;
    let mut is_following = false;
    let end = loop {
        match line.next()? {
            Some(Word::Follow { n_probes }) => {
                books.follow(n_probes)?;
                line.answer(&Answer::Following)?;
                is_following = true;
            }
            Some(Word::Begun(entry)) => books.begun(*entry),
            Some(Word::Ended { n, is_known, trace }) => books.ended(n, is_known, *trace),
            Some(Word::Status(status)) => {
                if let Some(up_to) = books.status(&status)? {
                    line.answer(&Answer::Stored { up_to })?;
                }
            }
            Some(Word::Reload { file }) => {
                if let Some(detail) = books.reload(file) {
                    line.answer(&Answer::Reloaded { detail })?;
                }
            }
            Some(Word::End {
                until_ns,
                n_dropped,
            }) => {
                let left = Duration::from_nanos(until_ns.saturating_sub(clock::boot_ns()));
                break Some((left.min(END), n_dropped));
            }
            Some(Word::Begin { .. }) => {}
            None => break None,
        }
    };
    match end {
        Some((left, n_dropped)) => books.finish(Instant::now() + left, n_dropped),
        None if is_following => {
            // SAFETY: alarm takes a number and no memory. Nothing here handles that signal, so it ends the process.
            unsafe { libc::alarm(LAST) };
            tell("the part of gotrace that follows builds is gone: what it told is stored");
            books.finish(Instant::now() + END, 0)
        }
        // It could not begin, and says why itself.
        None => Ok(()),
    }
}

/// To the watcher and back.
struct Line {
    socket: OwnedFd,
    words: Frames,
    room: Vec<u8>,
}

impl Line {
    fn of_watcher() -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode).is_socket() {
            return Err(io::Error::other("nobody speaks to it"));
        }
        Ok(Self {
            socket,
            words: Frames::new(WORD_LIMIT),
            room: vec![0; CHUNK],
        })
    }

    /// Waits for the next word. Nothing if nobody is there any more.
    fn next(&mut self) -> anyhow::Result<Option<Word>> {
        loop {
            let word = self.words.next();
            if let Some(word) =
                word.context("what gotrace tells the keeper of the history cannot be read")?
            {
                return Ok(Some(word));
            }
            match rustix::io::read(&self.socket, &mut self.room) {
                Ok(0) | Err(Errno::CONNRESET) => return Ok(None),
                Ok(n) => self.words.feed(self.room.get(..n).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Says it. A watcher that is gone is noticed when the next word does not come.
    fn answer(&self, answer: &Answer) -> io::Result<()> {
        let frame = encode(answer, ANSWER_LIMIT).map_err(io::Error::other)?;
        let mut rest = &frame[..];
        while !rest.is_empty() {
            match rustix::io::write(&self.socket, rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
