//! The journal: the events of running builds, for the agent that follows a killed one.
//!
//! Each session has a file, which is a recording without an end: its redacted events, in the order of their application.
//! An event is written before its record leaves the ring, so at most the last one is in both. No write is synced to disk:
//! the files survive this process but not the machine, and builds do not survive the machine either. A file is deleted
//! some time after its session has been stored. A file that is too large is deleted too; a kill then cuts that build off.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::mem;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracer_core::event::{Event, Ktime, ProcKey, Tgid};
use tracer_core::recording::{Detail, LINE_MAX, Reader};
use tracer_core::sessions::{EventScope, Sessions};

use super::recorder;

/// Maximum sizes of one session and of all sessions in bytes, without their first lines.
const SESSION_MAX: u64 = 64 << 20;
const TOTAL_MAX: u64 = 512 << 20;
/// Time for which a session is kept after its end and its storage.
const GRACE: Duration = Duration::from_secs(30);

/// The files of all sessions.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    sessions: BTreeMap<ProcKey, SessionFile>,
    /// Size of all sessions.
    bytes: u64,
    line: Vec<u8>,
}

/// The file of a session.
#[derive(Debug)]
struct SessionFile {
    /// `None` if the file was too large or could not be written.
    file: Option<File>,
    bytes: u64,
    /// Since when the session has ended and the sink holds none of its builds unstored.
    over: Option<Instant>,
}

/// A session of a previous agent.
pub(super) type PastSession = Reader<BufReader<File>>;

impl Journal {
    /// Opens the journal in this directory, which is created if necessary.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(Self {
            dir,
            sessions: BTreeMap::new(),
            bytes: 0,
            line: Vec::new(),
        })
    }

    /// Sessions of a previous agent, in the order of their start.
    pub(super) fn past(&self) -> Vec<ProcKey> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten();
        let mut past: Vec<ProcKey> = entries
            .filter_map(|it| parse(it.ok()?.file_name().to_str()?))
            .collect();
        past.sort_by_key(|it| it.born);
        past
    }

    /// Opens the file of a previous session, to read and to continue it. An unreadable file is deleted.
    pub(super) fn resume(&mut self, root: ProcKey) -> Option<PastSession> {
        let path = self.path(root);
        let opened = File::options()
            .read(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| {
                let bytes = cut(&mut file)?;
                Ok((file, bytes))
            });
        let past = opened.ok().and_then(|(file, bytes)| {
            let past = Reader::open(BufReader::new(File::open(&path).ok()?)).ok()?;
            let file_state = SessionFile {
                file: Some(file),
                bytes,
                over: None,
            };
            self.bytes += bytes;
            self.sessions.insert(root, file_state);
            Some(past)
        });
        if past.is_none() {
            let _gone = fs::remove_file(path);
        }
        past
    }

    /// Writes an event before it is applied.
    pub(super) fn write(&mut self, event: &Event, sessions: &Sessions) {
        // The tools are saved separately.
        if matches!(event, Event::Tool(_)) {
            return;
        }
        let scope = sessions.scope(event);
        if scope == EventScope::NoSession {
            return;
        }
        self.line.clear();
        if serde_json::to_writer(&mut self.line, event).is_err() || self.line.len() >= LINE_MAX {
            return;
        }
        self.line.push(b'\n');
        match scope {
            EventScope::One(root) => self.append(root, sessions),
            EventScope::All => {
                let under_way = self.sessions.iter().filter(|(_, it)| it.over.is_none());
                let roots: Vec<ProcKey> = under_way.map(|(root, _)| *root).collect();
                for root in roots {
                    self.append(root, sessions);
                }
            }
            EventScope::NoSession => {}
        }
    }

    /// Deletes the file of a session.
    pub(super) fn forget(&mut self, root: ProcKey) {
        if let Some(file_state) = self.sessions.remove(&root) {
            self.bytes = self.bytes.saturating_sub(file_state.bytes);
            // A file that cannot be deleted is a session for the next agent.
            let _gone = fs::remove_file(self.path(root));
        }
    }

    /// Deletes files that are no longer needed. Must be called regularly. `is_waiting` returns true if a kill would lose
    /// builds of the session.
    pub(super) fn tidy(
        &mut self,
        sessions: &Sessions,
        now: Instant,
        is_waiting: impl Fn(ProcKey) -> bool,
    ) {
        for (root, file_state) in &mut self.sessions {
            if sessions.is_running(*root) {
                continue;
            }
            if is_waiting(*root) {
                file_state.over = Some(now);
            } else {
                file_state.over.get_or_insert(now);
            }
        }
        let is_old = |file_state: &SessionFile| {
            file_state
                .over
                .is_some_and(|it| now.duration_since(it) > GRACE)
        };
        let old = self
            .sessions
            .iter()
            .filter(|(_, file_state)| is_old(file_state));
        let old: Vec<ProcKey> = old.map(|(root, _)| *root).collect();
        for root in old {
            self.forget(root);
        }
    }

    fn append(&mut self, root: ProcKey, sessions: &Sessions) {
        // After the end of its session, the process has executed another program.
        let is_another = self.sessions.get(&root).is_some_and(|it| it.over.is_some());
        if is_another {
            self.forget(root);
        }
        let path = self.path(root);
        let file_state = self
            .sessions
            .entry(root)
            .or_insert_with(|| SessionFile::begin(&path, sessions));
        let Some(file) = &mut file_state.file else {
            return;
        };
        let len = self.line.len() as u64;
        let is_too_much = file_state.bytes + len > SESSION_MAX || self.bytes + len > TOTAL_MAX;
        if is_too_much || file.write_all(&self.line).is_err() {
            file_state.file = None;
            self.bytes = self.bytes.saturating_sub(mem::take(&mut file_state.bytes));
            let _gone = fs::remove_file(path);
        } else {
            file_state.bytes += len;
            self.bytes += len;
        }
    }

    fn path(&self, root: ProcKey) -> PathBuf {
        self.dir.join(format!("{}-{}", root.tgid.0, root.born.0))
    }
}

impl SessionFile {
    fn begin(path: &Path, sessions: &Sessions) -> Self {
        let context = sessions.context().clone();
        let detail = if context.phases {
            Detail::Phase
        } else {
            Detail::Process
        };
        let mut header = Vec::new();
        let written = serde_json::to_writer(&mut header, &recorder::header(context, detail))
            .map_err(io::Error::from)
            .and_then(|()| {
                header.push(b'\n');
                let mut file = File::options()
                    .create_new(true)
                    .append(true)
                    .mode(0o600)
                    .open(path)?;
                file.write_all(&header)?;
                Ok(file)
            });
        Self {
            file: written.ok(),
            bytes: 0,
            over: None,
        }
    }
}

/// True if the event came from the kernel.
pub(super) fn is_of_kernel(event: &Event) -> bool {
    match event {
        Event::Fork(_)
        | Event::Exec(_)
        | Event::Exit(_)
        | Event::Reaped(_)
        | Event::Rename(_)
        | Event::Call(_)
        | Event::Lineage(_) => true,
        Event::Tool(_)
        | Event::Settings(_)
        | Event::ResponseFile(_)
        | Event::Inspected(_)
        | Event::CheckedOut(_)
        | Event::BuildInfo(_)
        | Event::Lost(_)
        | Event::Unreadable(_) => false,
    }
}

fn parse(name: &str) -> Option<ProcKey> {
    let (tgid, born) = name.split_once('-')?;
    Some(ProcKey {
        tgid: Tgid(tgid.parse().ok()?),
        born: Ktime(born.parse().ok()?),
    })
}

/// Removes an incomplete last line. Returns the new size of the file.
fn cut(file: &mut File) -> io::Result<u64> {
    let len = file.seek(SeekFrom::End(0))?;
    let from = len.saturating_sub(LINE_MAX as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(LINE_MAX as u64).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|it| *it == b'\n');
    let len = from + whole.map_or(0, |it| it as u64 + 1);
    file.set_len(len)?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use tracer_core::correlate::Context;
    use tracer_core::event::{Exit, Fork, Status, Usage};

    use super::*;

    const ROOT: ProcKey = key(10);

    const fn key(tgid: u32) -> ProcKey {
        ProcKey {
            tgid: Tgid(tgid),
            born: Ktime(tgid as u64),
        }
    }

    fn fork(n: u32) -> Event {
        Event::Fork(Fork {
            at: Ktime(u64::from(n)),
            parent: ROOT,
            child: key(n),
        })
    }

    /// Writes and then applies an event.
    fn live(journal: &mut Journal, sessions: &mut Sessions, event: Event) {
        journal.write(&event, sessions);
        sessions.apply(event);
    }

    #[test]
    fn a_session_with_a_torn_last_line_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::open(dir.path().join("builds")).unwrap();
        let mut sessions = Sessions::new(Context {
            boot_to_wall_ns: 7,
            ..Context::default()
        });
        let mut journal = open();
        for n in 11..14 {
            live(&mut journal, &mut sessions, fork(n));
        }
        drop(journal);
        let path = dir.path().join("builds/10-10");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(br#"{"event":"fork","at":"#).unwrap();

        let mut journal = open();
        assert_eq!(journal.past(), [ROOT]);
        let past = journal.resume(ROOT).unwrap();
        assert_eq!(past.header().boot_to_wall_ns, 7);
        assert!(past.eq((11..14).map(fork)));
        live(&mut journal, &mut sessions, fork(14));
        let past = open().resume(ROOT).unwrap();
        assert!(past.eq((11..15).map(fork)));
    }

    #[test]
    fn an_ended_session_is_deleted_after_it_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path().join("builds")).unwrap();
        let mut sessions = Sessions::new(Context::default());
        live(&mut journal, &mut sessions, fork(11));
        let exit = Event::Exit(Exit {
            at: Ktime(20),
            process: ROOT,
            status: Status::Code(0),
            usage: Usage::default(),
            is_oom_victim: false,
        });
        live(&mut journal, &mut sessions, exit);
        let now = Instant::now();
        journal.tidy(&sessions, now, |_| false);
        assert_eq!(sessions.ended(Ktime(u64::MAX)).len(), 1);
        journal.tidy(&sessions, now, |_| false);
        journal.tidy(&sessions, now + GRACE * 2, |it| it == ROOT);
        assert_eq!(journal.past(), [ROOT]);
        journal.tidy(&sessions, now + GRACE * 2, |_| false);
        assert_eq!(journal.past(), [ROOT]);
        journal.tidy(&sessions, now + GRACE * 4, |_| false);
        assert_eq!((journal.past(), journal.bytes), (Vec::new(), 0));
    }

    #[test]
    fn a_session_beyond_the_limit_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path().join("builds")).unwrap();
        let mut sessions = Sessions::new(Context::default());
        live(&mut journal, &mut sessions, fork(11));
        journal.bytes = TOTAL_MAX;
        live(&mut journal, &mut sessions, fork(12));
        assert_eq!(journal.past(), []);
        journal.bytes = 0;
        // A file without its beginning would describe a build that never existed.
        live(&mut journal, &mut sessions, fork(13));
        assert_eq!(journal.past(), []);
    }
}
