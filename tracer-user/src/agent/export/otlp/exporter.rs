//! The thread: packed requests over the wire, tried again as the OTLP specification says, and the metrics when their time has come.
//!
//! What the receiver cannot take now is tried for a minute; what it refuses is not tried again. The pauses grow over requests while it
//! is away, so a receiver that is gone for hours is asked twice a minute.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use flate2::write::GzEncoder;

use super::job::Job;
use super::metric::Period;
use super::partial::{Partial, partial};
use super::request::{self, OtlpRequest};
use super::resource::Machine;
use crate::agent::export::client::{self, Client, HttpResponse, Method, Outcome, StatusCode};
use crate::agent::metrics::Metrics;
use crate::backoff::Backoff;
use crate::clock;
use crate::config::otlp::{Compression, Headers, Settings};
use crate::worker::{Jobs, Next};

/// The first pause after a failure, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How long a request is tried.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a file of headers.
const HEADERS: u64 = 64 << 10;

pub(super) struct Exporter {
    client: Client,
    headers: Headers,
    headers_file: Option<PathBuf>,
    compression: Compression,
    metrics: Option<(Arc<Metrics>, Duration)>,
    machine: Machine,
    /// When it was made: cumulative metrics count from here.
    started_ns: u64,
    backoff: Backoff,
    log: fn(&str),
    /// What was told last, so that it is not told again and again.
    told: Option<String>,
}

impl Exporter {
    /// Fails where headers cannot be read: an operator sees that at once.
    pub(super) fn new(
        client: Client,
        headers: Headers,
        settings: &Settings,
        metrics: Arc<Metrics>,
        machine: Machine,
        log: fn(&str),
    ) -> anyhow::Result<Self> {
        let interval = Duration::from_secs(settings.metrics_interval_seconds.into());
        let exporter = Self {
            client,
            headers,
            headers_file: settings.headers_file.clone(),
            compression: settings.compression,
            metrics: settings.metrics.then_some((metrics, interval)),
            machine,
            started_ns: clock::wall_ns().unsigned_abs(),
            backoff: Backoff::new(FIRST, LONGEST),
            log,
            told: None,
        };
        exporter.headers()?;
        Ok(exporter)
    }

    /// Until the queue is to end.
    pub(super) fn work(mut self, jobs: &Jobs<Job>) {
        let interval = self.metrics.as_ref().map(|(_, interval)| *interval);
        let mut due = Instant::now() + interval.unwrap_or(PATIENCE);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match jobs.next(left) {
                Next::Job(job) => self.deliver(jobs, &job.request),
                Next::Idle => {}
                Next::End(_) => {
                    self.send_metrics(jobs);
                    return;
                }
            }
            if Instant::now() >= due {
                self.send_metrics(jobs);
                due = Instant::now() + interval.unwrap_or(PATIENCE);
            }
        }
    }

    fn send_metrics(&mut self, jobs: &Jobs<Job>) {
        let Some((metrics, _)) = &self.metrics else {
            return;
        };
        let end_ns = clock::wall_ns().unsigned_abs();
        let families = metrics.gather(i64::try_from(end_ns).unwrap_or(i64::MAX));
        let period = Period {
            start: self.started_ns,
            start_of_builds: u64::try_from(metrics.since_ns()).unwrap_or(0),
            end: end_ns,
        };
        for request in request::of_metrics(&families, period, &self.machine) {
            self.deliver(jobs, &request);
        }
    }

    /// Tries until it is delivered, refused or out of time.
    fn deliver(&mut self, jobs: &Jobs<Job>, request: &OtlpRequest) {
        let until = Instant::now() + PATIENCE;
        let Ok(body) = pack(self.compression, &request.body) else {
            jobs.failed(1);
            return;
        };
        loop {
            let ending = jobs.deadline();
            let patience = ending.map_or(client::TOTAL, |it| {
                it.saturating_duration_since(Instant::now())
            });
            if patience.is_zero() {
                jobs.failed(1);
                return;
            }
            match self.send(request, &body, patience) {
                Outcome::Done(answer) => {
                    self.backoff.succeeded();
                    self.delivered(jobs, request, &answer);
                    return;
                }
                Outcome::Refused(why) => {
                    self.backoff.succeeded();
                    self.say(format!(
                        "otlp: {} were refused: {why}",
                        request.signal.items()
                    ));
                    jobs.failed(1);
                    return;
                }
                Outcome::Later { why, after } => {
                    let place = self.client.endpoint();
                    self.say(format!("otlp: {place} takes nothing now: {why}"));
                    let pause = self.backoff.failed(after);
                    let is_late = Instant::now() + pause > until;
                    if ending.is_some() || is_late {
                        jobs.failed(1);
                        if is_late {
                            jobs.pause(pause);
                        }
                        return;
                    }
                    // If it is cut short, there is one more try.
                    jobs.pause(pause);
                }
            }
        }
    }

    fn delivered(&mut self, jobs: &Jobs<Job>, request: &OtlpRequest, answer: &HttpResponse) {
        let Partial { rejected, why } = partial(request.signal, &answer.body);
        if rejected > 0 {
            let items = request.signal.items();
            self.say(format!("otlp: {rejected} {items} were rejected{why}"));
            jobs.failed(1);
        } else {
            if self.told.take().is_some() {
                (self.log)(&format!("otlp: {} takes all again", self.client.endpoint()));
            }
            jobs.sent(1);
        }
    }

    fn send(&self, request: &OtlpRequest, body: &[u8], patience: Duration) -> Outcome {
        let headers = match self.headers() {
            Ok(headers) => headers,
            Err(error) => {
                return Outcome::Later {
                    why: format!("{error:#}"),
                    after: None,
                };
            }
        };
        let mut all = vec![("content-type", "application/x-protobuf")];
        match self.compression {
            Compression::Gzip => all.push(("content-encoding", "gzip")),
            Compression::None => {}
        }
        all.extend(headers.iter());
        self.client.send(&client::HttpRequest {
            headers: &all,
            body,
            patience,
            is_passing,
            ..client::HttpRequest::new(Method::Post, request.signal.path())
        })
    }

    /// Those of the file go before those of the settings.
    fn headers(&self) -> anyhow::Result<Headers> {
        let Some(file) = &self.headers_file else {
            return Ok(self.headers.clone());
        };
        let text = read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let headers = Headers::of_file(&text)
            .with_context(|| format!("{} is no list of headers", file.display()))?;
        Ok(headers.over(self.headers.clone()))
    }

    /// The same thing once.
    fn say(&mut self, sentence: String) {
        if self.told.as_ref() != Some(&sentence) {
            (self.log)(&sentence);
            self.told = Some(sentence);
        }
    }
}

/// The specification's list; what is not on it must not be tried again.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn pack(compression: Compression, body: &[u8]) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(body.to_vec()),
        Compression::Gzip => {
            let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(body)?;
            packer.finish()
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(HEADERS).read_to_string(&mut text)?;
    Ok(text)
}
