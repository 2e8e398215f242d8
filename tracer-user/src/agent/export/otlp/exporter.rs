//! The thread that sends encoded requests with the retries of the OTLP specification, and periodically the metrics.
//!
//! Temporary failures are retried for a minute, permanent ones are not retried. The pauses grow across requests, so a
//! receiver that is unavailable for hours receives two requests a minute.

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
use crate::agent::metrics::{Metrics, Reader};
use crate::backoff::Backoff;
use crate::clock;
use crate::config::otlp::{Compression, Headers, OtlpSettings};
use crate::log::Log;
use crate::worker::{Jobs, Next};

/// First and longest pause after a failure.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Time limit for the retries of a request.
const PATIENCE: Duration = Duration::from_mins(1);
/// Maximum size of a file of headers in bytes.
const HEADERS: u64 = 64 << 10;

pub(super) struct Exporter {
    client: Client,
    headers: Headers,
    headers_file: Option<PathBuf>,
    compression: Compression,
    metrics: Option<(Arc<Metrics>, Duration)>,
    machine: Machine,
    /// Time of creation, the start of the agent's cumulative metrics.
    started_ns: u64,
    backoff: Backoff,
    log: Log,
    /// The last logged message, which is not repeated.
    last_logged: Option<String>,
}

impl Exporter {
    /// Creates the exporter, without a connection.
    pub(super) fn new(
        client: Client,
        headers: Headers,
        settings: &OtlpSettings,
        metrics: Arc<Metrics>,
        machine: Machine,
        log: Log,
    ) -> Self {
        let interval = Duration::from_secs(settings.metrics_interval_seconds.into());
        Self {
            client,
            headers,
            headers_file: settings.headers_file.clone(),
            compression: settings.compression,
            metrics: settings.metrics.then_some((metrics, interval)),
            machine,
            started_ns: clock::wall_ns().unsigned_abs(),
            backoff: Backoff::new(FIRST, LONGEST),
            log,
            last_logged: None,
        }
    }

    /// Sends requests until the end of the queue.
    pub(super) fn work(mut self, jobs: &Jobs<Job>) {
        let interval = self.metrics.as_ref().map(|(_, interval)| *interval);
        let mut due = Instant::now() + interval.unwrap_or(PATIENCE);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match jobs.next(left) {
                Next::Job(job) => self.deliver(jobs, &job.request),
                Next::Idle => {}
                Next::End(_) => {
                    self.send_metrics(jobs, true);
                    return;
                }
            }
            if Instant::now() >= due {
                self.send_metrics(jobs, false);
                due = Instant::now() + interval.unwrap_or(PATIENCE);
            }
        }
    }

    fn send_metrics(&mut self, jobs: &Jobs<Job>, is_last: bool) {
        let Some((metrics, _)) = &self.metrics else {
            return;
        };
        let end_ns = clock::wall_ns().unsigned_abs();
        let at = Duration::from_nanos(clock::boot_ns());
        let reader = Reader::Otlp { at, is_last };
        let families = metrics.gather(i64::try_from(end_ns).unwrap_or(i64::MAX), reader);
        let period = Period {
            start: self.started_ns,
            start_of_builds: u64::try_from(metrics.since_ns()).unwrap_or(0),
            end: end_ns,
        };
        for request in request::of_metrics(&families, period, &self.machine) {
            self.deliver(jobs, &request);
        }
    }

    /// Sends a request until it is delivered, permanently refused or out of time.
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
                    self.log_once(format!(
                        "otlp: the receiver refused {}: {why}",
                        request.signal.items()
                    ));
                    jobs.failed(1);
                    return;
                }
                Outcome::Later { why, after } => {
                    let place = self.client.endpoint();
                    self.log_once(format!("otlp: cannot send to {place}, retrying: {why}"));
                    let pause = self.backoff.failed(after);
                    let is_late = Instant::now() + pause > until;
                    if ending.is_some() || is_late {
                        jobs.failed(1);
                        if is_late {
                            jobs.pause(pause);
                        }
                        return;
                    }
                    // If the pause is interrupted, one more attempt follows.
                    jobs.pause(pause);
                }
            }
        }
    }

    fn delivered(&mut self, jobs: &Jobs<Job>, request: &OtlpRequest, answer: &HttpResponse) {
        let Partial { rejected, why } = partial(request.signal, &answer.body);
        if rejected > 0 {
            let items = request.signal.items();
            self.log_once(format!(
                "otlp: the receiver rejected {rejected} {items}{why}"
            ));
            jobs.failed(1);
        } else {
            if self.last_logged.take().is_some() {
                self.log.info(format_args!(
                    "otlp: sending to {} works again",
                    self.client.endpoint()
                ));
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

    /// The headers. Those of the file override those of the settings.
    fn headers(&self) -> anyhow::Result<Headers> {
        let Some(file) = &self.headers_file else {
            return Ok(self.headers.clone());
        };
        Ok(headers_of(file)?.over(self.headers.clone()))
    }

    /// Logs a message, unless it is the same as the last one.
    fn log_once(&mut self, message: String) {
        if self.last_logged.as_ref() != Some(&message) {
            self.log.warn(&message);
            self.last_logged = Some(message);
        }
    }
}

/// Reads the headers of a file.
pub(super) fn headers_of(file: &Path) -> anyhow::Result<Headers> {
    let text = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Headers::of_file(&text).with_context(|| format!("{} is not a list of headers", file.display()))
}

/// The temporary failures in the specification. Other statuses must not be retried.
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
