//! The metrics at the start of the agent: the counters of the last agent, and the gauges of targets and projects from the
//! history.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{Error, Registry};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{BuildId, Entry, REMEMBERED, Target};
use tracer_core::judge::{Projects, Sizes, judge};
use tracer_core::model::State;

use super::saved_counters::{SavedCounters, SavedCountersError};
use super::{Inner, Metrics, nanos};
use crate::history::{Cause, Filter, Reader, StoredCounters};
use crate::render::metrics::family::Families;
use crate::render::metrics::{fold, label};

/// Maximum number of builds that are read for the gauges of targets, and again for those of projects.
const RESTORED: usize = 200;

/// The reason why metrics cannot be restored from the history.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("cannot read the earlier builds")]
    History(#[from] Cause),
    #[error("cannot count the earlier builds")]
    Metrics(#[from] Error),
    #[error(transparent)]
    Counted(#[from] SavedCountersError),
}

impl Metrics {
    /// Restores the state of the last agent, even after a crash: its stored counters, the builds that were stored later,
    /// and the gauges of the targets in the history. Must be called once, before the first [`Metrics::observe`].
    /// `now_ns` is in nanoseconds since 1970. After an error, the readable part is restored.
    pub fn restore(
        &self,
        tally: &StoredCounters,
        reader: &Reader<'_>,
        now_ns: i64,
    ) -> Result<(), RestoreError> {
        let (entries, _) = reader.list(&Filter::default())?;
        let inner = &mut *self.lock();
        inner.saved = SavedCounters::nothing(now_ns);
        let since_ns = now_ns.saturating_sub_unsigned(nanos(inner.target_ttl));
        let recent = entries
            .into_iter()
            .filter(|it| it.started_ns >= since_ns && is_over(it));
        let recent: Vec<Entry> = recent.collect();
        note_sizes(&mut inner.sizes, &recent);
        targets(&mut inner.families, &mut inner.sizes, reader, &recent)?;
        let projects = projects(reader, &recent, &tally.uncounted)?;
        inner.carry(tally, projects, reader)
    }
}

impl Inner {
    fn carry(
        &mut self,
        tally: &StoredCounters,
        mut projects: Projects,
        reader: &Reader<'_>,
    ) -> Result<(), RestoreError> {
        let before = match &tally.counted {
            Some(counted) => SavedCounters::parse(counted)?,
            None => self.saved.clone(),
        };
        let saved = if tally.uncounted.is_empty() {
            before
        } else {
            with_uncounted(&before, &mut projects, &tally.uncounted, reader)?
        };
        self.families
            .make(&|name, labels| saved.values(name, labels))?;
        // Readers of the last agent have read these series.
        drop(self.families.take_new());
        for (project, drift) in projects.drifts() {
            self.families.drift(project, &drift)?;
        }
        self.projects = projects;
        self.saved = saved;
        Ok(())
    }
}

/// Adds the builds that were stored after the counters. They are counted separately, so that their sums can be rounded.
fn with_uncounted(
    before: &SavedCounters,
    projects: &mut Projects,
    uncounted: &[BuildId],
    reader: &Reader<'_>,
) -> Result<SavedCounters, RestoreError> {
    let registry = Registry::new();
    let mut families = Families::register(&registry)?;
    families.make(&|name, labels| before.values(name, labels))?;
    let mut sizes = Sizes::default();
    for id in uncounted {
        let Some(finished) = shown(reader, id)? else {
            continue;
        };
        for build in finished.builds() {
            let judgement = judge(build, Some(&mut *projects), &mut sizes);
            fold::build(&mut families, build, &judgement)?;
        }
    }
    let mut all = registry.gather();
    before.add_to(&mut all);
    Ok(SavedCounters::of(&all, before.since_ns).rounded_up())
}

/// Sets the gauges of each target from its last build. Entries are newest first.
fn targets(
    families: &mut Families,
    sizes: &mut Sizes,
    reader: &Reader<'_>,
    entries: &[Entry],
) -> Result<(), RestoreError> {
    let mut n_read = 0;
    for entry in entries {
        if n_read < RESTORED && is_news(families, entry) {
            n_read += 1;
            let Some(finished) = shown(reader, &entry.id)? else {
                continue;
            };
            for build in finished.builds() {
                let judgement = judge(build, None, sizes);
                fold::outputs(families, build, &judgement)?;
            }
        }
    }
    Ok(())
}

/// Sets the sizes before the last build of each target. Entries are newest first.
fn note_sizes(sizes: &mut Sizes, entries: &[Entry]) {
    let mut last: BTreeMap<[&str; 4], &BuildId> = BTreeMap::new();
    let mut before: Vec<(&Entry, &Target)> = Vec::new();
    for entry in entries {
        for target in &entry.targets {
            if let Some(package) = target.package.as_deref() {
                let newest = last.entry(key(entry, package)).or_insert(&entry.id);
                if *newest != &entry.id {
                    before.push((entry, target));
                }
            }
        }
    }
    for (entry, target) in before.into_iter().rev() {
        sizes.note(entry, target);
    }
}

/// Sets the last toolchain of each project. Entries are newest first.
fn projects(
    reader: &Reader<'_>,
    entries: &[Entry],
    except: &[BuildId],
) -> Result<Projects, RestoreError> {
    let except: BTreeSet<&BuildId> = except.iter().collect();
    let mut n_of: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let wanted = entries.iter().filter(|it| !except.contains(&it.id));
    let wanted = wanted.filter(|it| {
        let n = n_of.entry(it.project.as_deref()).or_default();
        *n += 1;
        *n <= REMEMBERED
    });
    let wanted: Vec<&Entry> = wanted.take(RESTORED).collect();
    let mut projects = Projects::default();
    for entry in wanted.into_iter().rev() {
        if let Some(finished) = shown(reader, &entry.id)? {
            finished.builds().for_each(|it| projects.note(it));
        }
    }
    Ok(projects)
}

fn is_over(entry: &Entry) -> bool {
    match entry.state {
        State::Running | State::CutOff => false,
        State::Succeeded | State::Failed | State::Unknown => true,
    }
}

/// True if the build has a target that no later build has.
fn is_news(families: &Families, entry: &Entry) -> bool {
    let mut packages = entry.targets.iter().filter_map(|it| it.package.as_deref());
    packages.any(|it| {
        let [project, target, goos, goarch] = key(entry, it);
        !families.has_target(project, target, goos, goarch)
    })
}

/// The value of a label.
fn key<'a>(entry: &'a Entry, package: &'a str) -> [&'a str; 4] {
    let known = |it: &'a Option<String>| label::known(it.as_deref());
    [
        known(&entry.project),
        package,
        known(&entry.goos),
        known(&entry.goarch),
    ]
}

fn shown(reader: &Reader<'_>, id: &BuildId) -> Result<Option<FinishedTrace>, Cause> {
    Ok(reader.show(&id.as_str().parse()?)?.finished)
}
