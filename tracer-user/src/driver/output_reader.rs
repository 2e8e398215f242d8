//! Reads outputs on separate threads: opening or hashing a file must not delay the draining of the ring.
//!
//! A thread opens each file; a child process hashes and identifies it. For a full analysis, the open file goes to
//! `output_analysis`. The answer waits for the analysis for a limited time, and is then sent without it.
//!
//! A file system that never responds blocks a thread forever. There are therefore several threads, and each neighbour
//! occupies at most one. Every request is answered in time, even if its thread is blocked.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tracer_core::byte_string::ByteString;
use tracer_core::event::{Artifact, Event, Inspected, ProcKey};

use super::fair_queue::Workers;
use super::known_outputs::KnownOutputs;
use super::output_analysis::{AnalysisCounts, AnalysisResult, AnalysisState, OutputAnalysis};
use crate::clock;
use crate::inspect::{self, FileOwner, OUTPUT_LIMIT, Opened, Reader, ReaderSpawner, Refused, Root};
use crate::wakeup::{Notifier, Wakeup};

/// Maximum number of waiting files. A build of everything in a large repository has some hundreds.
const MAX_QUEUED: usize = 4096;
const THREADS: usize = 3;
/// Time for reading a file. A build is not reported before all its outputs are answered.
const READ_TIMEOUT: Duration = Duration::from_secs(100);
/// Additional time for the analysis.
const ANALYSIS_TIMEOUT: Duration = Duration::from_secs(30);

/// The amount of data read from an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The hash and the identity of the file.
    Identity,
    /// Also the composition of the bytes.
    Anatomy,
}

/// An output to read.
#[derive(Debug)]
pub(super) struct OutputRequest {
    pub(super) process: ProcKey,
    pub(super) path: ByteString,
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// Identifies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OutputTicket(u64);

/// The progress of a request, as a thread reports it.
#[derive(Debug)]
enum Progress {
    Complete(Inspected),
    /// The output without its analysis, which follows.
    Identified(Inspected),
    Analysed(AnalysisResult),
}

/// A request without an answer yet.
#[derive(Debug)]
struct PendingOutput {
    process: ProcKey,
    path: ByteString,
    /// The answer that waits for its analysis.
    identified: Option<Inspected>,
    until: Instant,
}

/// The reader threads and their requests.
#[derive(Debug)]
pub(super) struct OutputReader {
    requests: Workers<FileOwner, (OutputTicket, OutputRequest)>,
    progress: Receiver<(OutputTicket, Progress)>,
    next: u64,
    n_dropped: u64,
    pending: BTreeMap<OutputTicket, PendingOutput>,
    spawner: Arc<ReaderSpawner>,
    analysis: Option<Arc<AnalysisState>>,
}

/// The shared state of the reader threads.
struct WorkerContext {
    spawner: Arc<ReaderSpawner>,
    known: KnownOutputs,
    analysis: Option<OutputAnalysis<OutputTicket>>,
    notifier: Notifier<(OutputTicket, Progress)>,
}

impl OutputReader {
    pub(super) fn start(depth: Depth, wakeup: &Wakeup) -> io::Result<Self> {
        let (sender, progress) = channel();
        let notifier = Notifier::new(sender, wakeup);
        let spawner = Arc::new(ReaderSpawner::own()?);
        let analysis = match depth {
            Depth::Identity => None,
            Depth::Anatomy => {
                let notifier = notifier.clone();
                let notify =
                    move |ticket, found| notifier.notify((ticket, Progress::Analysed(found)));
                Some(OutputAnalysis::start(Arc::clone(&spawner), notify)?)
            }
        };
        let shared = analysis.as_ref().map(OutputAnalysis::shared);
        let context = Arc::new(WorkerContext {
            spawner: Arc::clone(&spawner),
            known: KnownOutputs::new()?,
            analysis,
            notifier,
        });
        let work = move |(ticket, request)| context.answer(ticket, request);
        Ok(Self {
            requests: Workers::start("output-reader", THREADS, MAX_QUEUED, work)?,
            progress,
            next: 0,
            n_dropped: 0,
            pending: BTreeMap::new(),
            spawner,
            analysis: shared,
        })
    }

    /// Queues a file for reading. Returns an answer if the queue is full.
    pub(super) fn ask(&mut self, request: OutputRequest) -> Option<Event> {
        let ticket = OutputTicket(self.next);
        self.next += 1;
        let pending = PendingOutput {
            process: request.process,
            path: request.path.clone(),
            identified: None,
            until: Instant::now() + READ_TIMEOUT,
        };
        let neighbour = request.root.file_owner(request.uid);
        match self.requests.push(vec![neighbour], (ticket, request)) {
            Ok(()) => {
                self.pending.insert(ticket, pending);
                None
            }
            Err(_full) => {
                self.n_dropped += 1;
                let why = format!("{MAX_QUEUED} other files waited to be read");
                Some(refused(pending.process, pending.path, why))
            }
        }
    }

    /// Returns the answers since the last call, including those of requests that timed out.
    pub(super) fn answers(&mut self) -> Vec<Event> {
        let now = Instant::now();
        let progress: Vec<_> = self.progress.try_iter().collect();
        let mut answers: Vec<Inspected> = progress
            .into_iter()
            .filter_map(|(ticket, progress)| self.apply(ticket, progress, now))
            .collect();
        let late = self
            .pending
            .extract_if(.., |_, pending| pending.until <= now);
        answers.extend(late.map(|(_, pending)| pending.late()));
        answers.into_iter().map(Event::Inspected).collect()
    }

    /// Returns the answer if it is complete. Progress of a request that timed out is ignored.
    fn apply(
        &mut self,
        ticket: OutputTicket,
        progress: Progress,
        now: Instant,
    ) -> Option<Inspected> {
        match progress {
            Progress::Complete(inspected) => self.pending.remove(&ticket).map(|_| inspected),
            Progress::Identified(inspected) => {
                let pending = self.pending.get_mut(&ticket)?;
                pending.identified = Some(inspected);
                pending.until = now + ANALYSIS_TIMEOUT;
                None
            }
            Progress::Analysed(found) => {
                let inspected = self.pending.remove(&ticket)?.identified?;
                Some(with(inspected, found))
            }
        }
    }

    pub(super) fn n_pending(&self) -> usize {
        self.pending.len()
    }

    /// Number of files that were not read because the queue was full.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// Counts of the analyses, with the children of all readers.
    pub(super) fn analyses(&self) -> AnalysisCounts {
        let counts = self.analysis.as_ref().map(|it| it.counts());
        AnalysisCounts {
            lost: self.spawner.n_lost(),
            cpu_ns: self.spawner.cpu_ns(),
            ..counts.unwrap_or_default()
        }
    }
}

impl PendingOutput {
    /// The answer after a timeout.
    fn late(self) -> Inspected {
        let Self {
            process,
            path,
            identified,
            until: _,
        } = self;
        if let Some(inspected) = identified {
            let why = format!(
                "it was not analysed within {} s",
                ANALYSIS_TIMEOUT.as_secs()
            );
            with(inspected, Err(why))
        } else {
            let why = format!("it was not read within {} s", READ_TIMEOUT.as_secs());
            inspected(process, path, Err(why))
        }
    }
}

impl WorkerContext {
    fn answer(&self, ticket: OutputTicket, request: OutputRequest) {
        let Self {
            analysis, notifier, ..
        } = self;
        let OutputRequest {
            process,
            path,
            uid,
            root,
        } = request;
        let (opened, artifact) = match self.read(&root, inspect::as_path(&path), uid) {
            Ok(found) => found,
            Err(refused) => {
                let inspected = inspected(process, path, Err(refused.to_string()));
                return notifier.notify((ticket, Progress::Complete(inspected)));
            }
        };
        let inspected = inspected(process, path, Ok(artifact.clone()));
        let Some(analysis) = analysis else {
            return notifier.notify((ticket, Progress::Complete(inspected)));
        };
        // This must be sent before the analysis starts, so that its result cannot arrive first.
        notifier.notify((ticket, Progress::Identified(inspected)));
        if let Some(found) = analysis.ask(root.file_owner(uid), opened, &artifact, ticket) {
            notifier.notify((ticket, Progress::Analysed(found)));
        }
    }

    fn read(&self, root: &Root, path: &Path, uid: u32) -> Result<(Opened, Artifact), Refused> {
        let reader = Reader { uid, public: false };
        let opened = root.open(path, reader, OUTPUT_LIMIT)?;
        let artifact = self.known.identify(&opened, &self.spawner)?;
        Ok((opened, artifact))
    }
}

/// The answer for an output that is not read.
pub(super) fn refused(process: ProcKey, path: ByteString, why: String) -> Event {
    Event::Inspected(inspected(process, path, Err(why)))
}

fn inspected(process: ProcKey, path: ByteString, result: Result<Artifact, String>) -> Inspected {
    Inspected {
        at: clock::boot(),
        process,
        path,
        result,
    }
}

/// Adds the result of the analysis.
fn with(inspected: Inspected, found: AnalysisResult) -> Inspected {
    let (anatomy, unanalysed) = match found {
        Ok(anatomy) => (anatomy, None),
        Err(why) => (None, Some(why)),
    };
    Inspected {
        result: inspected.result.map(|artifact| Artifact {
            anatomy,
            unanalysed,
            ..artifact
        }),
        ..inspected
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use tracer_core::event::{Ktime, Tgid};

    fn ask(path: &str) -> OutputRequest {
        OutputRequest {
            process: ProcKey {
                tgid: Tgid(1),
                born: Ktime(1),
            },
            path: path.into(),
            uid: rustix::process::getuid().as_raw(),
            root: Arc::new(Root::own().unwrap()),
        }
    }

    fn artifact(event: Event) -> Artifact {
        let Event::Inspected(inspected) = event else {
            panic!("{event:?}");
        };
        inspected.result.unwrap()
    }

    fn answers(outputs: &mut OutputReader, n: usize) -> Vec<Artifact> {
        let since = Instant::now();
        let mut found = Vec::new();
        while found.len() < n {
            assert!(since.elapsed() < ANALYSIS_TIMEOUT, "{} of {n}", found.len());
            found.extend(outputs.answers().into_iter().map(artifact));
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(outputs.n_pending(), 0);
        found
    }

    #[test]
    fn equal_contents_are_analysed_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut outputs = OutputReader::start(Depth::Anatomy, &Wakeup::new().unwrap()).unwrap();
        let program = std::fs::read("/bin/true").unwrap();
        let n = 3;
        for name in 0..n {
            let path = dir.path().join(name.to_string());
            std::fs::write(&path, &program).unwrap();
            assert!(outputs.ask(ask(path.to_str().unwrap())).is_none());
        }
        let found = answers(&mut outputs, n);
        assert!(found.iter().all(|it| it.anatomy == found[0].anatomy));
        assert!(found[0].anatomy.is_some() && found[0].unanalysed.is_none());
        let AnalysisCounts {
            waiting,
            analysed,
            known,
            failed,
            dropped,
            lost,
            cpu_ns,
        } = outputs.analyses();
        assert_eq!((waiting, analysed, known), (0, 1, 2));
        assert_eq!((failed, dropped, lost), (0, 0, 0));
        assert!(cpu_ns > 0);
    }

    #[test]
    fn a_text_file_needs_no_analysis_and_a_broken_program_has_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (header, broken) = (dir.path().join("lib.h"), dir.path().join("broken"));
        std::fs::write(&header, "int f(void);\n").unwrap();
        std::fs::write(&broken, b"\x7fELF\x02\x01\x01 and so on").unwrap();
        let mut outputs = OutputReader::start(Depth::Anatomy, &Wakeup::new().unwrap()).unwrap();
        for path in [&header, &broken] {
            assert!(outputs.ask(ask(path.to_str().unwrap())).is_none());
        }
        let found = answers(&mut outputs, 2);
        assert_eq!((&found[0].anatomy, &found[0].unanalysed), (&None, &None));
        let why = found[1].unanalysed.as_deref().unwrap_or_default();
        assert!(why.contains("cannot be read"), "{why}");
        assert_eq!(outputs.analyses().failed, 1);
    }

    #[test]
    fn an_answer_does_not_wait_for_its_analysis_forever() {
        let mut outputs = OutputReader::start(Depth::Identity, &Wakeup::new().unwrap()).unwrap();
        let request = ask("/a");
        let inspected = || inspected(request.process, "/a".into(), Ok(Artifact::default()));
        let now = Instant::now();
        let pending = || PendingOutput {
            process: request.process,
            path: request.path.clone(),
            identified: None,
            until: now + READ_TIMEOUT,
        };
        outputs.pending.insert(OutputTicket(7), pending());
        let identified = Progress::Identified(inspected());
        assert_eq!(outputs.apply(OutputTicket(7), identified, now), None);
        assert!(outputs.answers().is_empty());
        outputs.pending.get_mut(&OutputTicket(7)).unwrap().until = now;
        let mut answers = outputs.answers();
        assert_eq!(answers.len(), 1);
        let why = artifact(answers.remove(0)).unanalysed;
        let why = why.as_deref();
        assert_eq!(why, Some("it was not analysed within 30 s"));
        // A late analysis is ignored.
        assert_eq!(
            outputs.apply(OutputTicket(7), Progress::Analysed(Ok(None)), now),
            None
        );

        // The thread of this request is blocked while it opens the file.
        let until = now;
        outputs
            .pending
            .insert(OutputTicket(8), PendingOutput { until, ..pending() });
        let answers = outputs.answers();
        let [Event::Inspected(late)] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        let why = Err("it was not read within 100 s".to_owned());
        assert_eq!(late.result, why);
        let whole = Progress::Complete(inspected());
        assert_eq!(outputs.apply(OutputTicket(8), whole, now), None);
    }
}
