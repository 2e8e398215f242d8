//! New counters are 0 until each reader has read them once, for at most two minutes.
//!
//! `increase()` and `rate()` compare values, so they miss a counter that appears with the value 1. A counter that appeared
//! since the last page therefore has the value 0 on the next pages of each reader, and then its real value.
//!
//! Two scrapers can look like one reader: the same address and the same program. If they have the same interval, each of
//! them comes at least once in twice the longest pause between two pages. A new counter stays 0 for that time.
//!
//! This module has no clock: callers pass the time. It does not change histograms and gauges.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};

use super::exemplar::{SeriesLabels, series_labels};
use crate::render::metrics::guard::NewSeries;

/// A new counter is 0 for at most this time after its first page.
const LONGEST: Duration = Duration::from_mins(2);
/// A reader without a page for this time is forgotten. This is longer than [`LONGEST`], so no counter becomes 0 again for it.
const MEMORY: Duration = Duration::from_mins(6);
/// Largest number of readers. Further readers get the real values.
const READERS: usize = 64;
/// Remembered pages of a reader.
const PAGES: usize = 64;

/// The receiver of a page. `at` is the time of the page on a clock that never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A client of the HTTP server.
    Client {
        id: ClientId,
        /// True if the client is certainly a scraper. Other clients become one with their second page.
        is_scraper: bool,
        at: Duration,
    },
    /// The OTLP receiver. The last page has real values.
    Otlp { at: Duration, is_last: bool },
    /// A file. Its readers are unknown, so new counters are 0 for the whole of [`LONGEST`]. The last page has real values.
    File { at: Duration, is_last: bool },
}

/// A hash of everything that distinguishes a client from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReaderKey {
    Client(ClientId),
    Otlp,
    File,
}

/// The new counters, and the pages of the readers.
#[derive(Debug, Default)]
pub(super) struct NewCounters {
    /// Time of the first page with the counter.
    since: BTreeMap<(&'static str, SeriesLabels), Duration>,
    readers: BTreeMap<ReaderKey, ReaderState>,
    /// Time of the last page for a reader that was not remembered.
    unknown: Option<Duration>,
}

#[derive(Debug)]
struct ReaderState {
    /// The reader gets the real values of counters that are new since this time, or since earlier.
    real_up_to: Option<Duration>,
    /// Times of the last pages, oldest first.
    pages: VecDeque<Duration>,
}

impl NewCounters {
    /// Sets the new counters in a page for this reader to 0. `new` are the series since the last page.
    pub(super) fn hide(
        &mut self,
        families: &mut [MetricFamily],
        new: Vec<NewSeries>,
        reader: Reader,
    ) {
        let at = reader.at();
        for NewSeries { family, labels } in new {
            self.since.entry((family, labels)).or_insert(at);
        }
        let real_up_to = self.page(reader);
        self.since
            .retain(|_, since| since.saturating_add(LONGEST) > at);
        if self.since.is_empty() {
            return;
        }
        for family in families {
            if family.get_field_type() == MetricType::COUNTER {
                self.hide_in(family, real_up_to);
            }
        }
    }

    fn hide_in(&self, family: &mut MetricFamily, real_up_to: Option<Duration>) {
        let is_hidden = |since: &Duration| real_up_to.is_none_or(|it| *since > it);
        let name = family.name().to_owned();
        let mut hidden = self
            .since
            .iter()
            .filter(|((family, _), since)| *family == name && is_hidden(since))
            .map(|((_, labels), _)| labels)
            .peekable();
        if hidden.peek().is_none() {
            return;
        }
        let hidden: Vec<&SeriesLabels> = hidden.collect();
        for metric in family.mut_metric() {
            // Both are sorted, so a search finds the labels.
            if hidden
                .binary_search(&&series_labels(metric.get_label()))
                .is_ok()
            {
                let mut counter = metric.get_counter().clone();
                counter.set_value(0.0);
                metric.set_counter(counter);
            }
        }
    }

    fn clients(&self) -> impl Iterator<Item = &ReaderState> {
        let clients = |key: &ReaderKey| matches!(key, ReaderKey::Client(_));
        let readers = self.readers.iter();
        readers
            .filter(move |(key, _)| clients(key))
            .map(|(_, it)| it)
    }

    /// Notes a page, and returns the time up to which the reader gets real values.
    fn page(&mut self, reader: Reader) -> Option<Duration> {
        let at = reader.at();
        self.readers
            .retain(|_, it| it.pages.back().is_some_and(|it| *it + MEMORY > at));
        let key = reader.key();
        if self.readers.len() >= READERS && !self.readers.contains_key(&key) {
            self.unknown = Some(at);
            return Some(at);
        }
        // A new reader can be a known scraper with another address or version. It then has read the same values as another reader, and no
        // counter may go back to 0 for it.
        let of_others = match reader {
            Reader::Client { .. } => self.clients().filter_map(|it| it.real_up_to).max(),
            Reader::Otlp { .. } | Reader::File { .. } => None,
        };
        let real_up_to = self.unknown.max(of_others);
        let state = self.readers.entry(key).or_insert_with(|| ReaderState {
            real_up_to,
            pages: VecDeque::new(),
        });
        // A later pause may be longer, but no counter goes back to 0.
        let real = state.real(reader).max(at.checked_sub(LONGEST));
        state.real_up_to = state.real_up_to.max(real);
        if state.pages.len() >= PAGES {
            state.pages.pop_front();
        }
        state.pages.push_back(at);
        state.real_up_to
    }
}

impl Reader {
    /// A file has no metrics of the process: `node_exporter` has its own, and refuses a page with both.
    pub(super) fn may_read(self, family: &str) -> bool {
        match self {
            Self::Client { .. } | Self::Otlp { .. } => true,
            Self::File { .. } => !family.starts_with("process_"),
        }
    }

    fn at(self) -> Duration {
        match self {
            Self::Client { at, .. } | Self::Otlp { at, .. } | Self::File { at, .. } => at,
        }
    }

    fn key(self) -> ReaderKey {
        match self {
            Self::Client { id, .. } => ReaderKey::Client(id),
            Self::Otlp { .. } => ReaderKey::Otlp,
            Self::File { .. } => ReaderKey::File,
        }
    }
}

impl ReaderState {
    /// The time up to which counters are read, before this page is noted.
    fn real(&self, reader: Reader) -> Option<Duration> {
        let last = self.pages.back().copied();
        match reader {
            Reader::Client { at, is_scraper, .. } => {
                let Some(last) = last else {
                    return (!is_scraper).then_some(at);
                };
                // Twice the pause, less a tenth, because no scraper is exactly punctual.
                let hold = self.longest_pause(at).saturating_mul(19) / 10;
                Some(at.checked_sub(hold)?.min(last))
            }
            // One receiver has one page after another.
            Reader::Otlp { at, is_last: true } => Some(at),
            Reader::Otlp { .. } => last,
            Reader::File { at, is_last } => is_last.then_some(at),
        }
    }

    /// The longest pause between two pages, with the page of now. Pauses over [`LONGEST`] are not the interval of a scraper.
    fn longest_pause(&self, at: Duration) -> Duration {
        let next = self.pages.iter().skip(1).copied().chain([at]);
        let pauses = self.pages.iter().zip(next);
        let pauses = pauses.map(|(before, after)| after.saturating_sub(*before));
        let pauses = pauses.filter(|it| *it <= LONGEST);
        pauses.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
