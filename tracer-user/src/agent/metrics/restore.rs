//! What is on the page when the agent starts: counters as the last agent left them, and of the history what stands for targets and
//! projects until they are built again.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{Error, Registry};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{BuildId, Entry, REMEMBERED, Target};
use tracer_core::judge::{Projects, Sizes, judge};
use tracer_core::model::State;

use super::carried::{Carried, Unusable};
use super::{Inner, Metrics, nanos};
use crate::history::{Cause, Filter, Reader, StoredCounters};
use crate::render::metrics::family::Families;
use crate::render::metrics::{fold, label};

/// Builds that are read at most to say how targets were last built, and as many for what projects were built with.
const RESTORED: usize = 200;

/// The metrics could not be filled from the history.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("cannot read what was built before")]
    History(#[from] Cause),
    #[error("cannot count what was built before")]
    Metrics(#[from] Error),
    #[error(transparent)]
    Counted(#[from] Unusable),
}

impl Metrics {
    /// Goes on where the last agent ended, however it ended: from its counters and those builds that it stored after they were written
    /// down, and with the gauges of the targets that the history knows. To be called once, before the first [`Metrics::observe`].
    /// `now_ns`: nanoseconds since 1970. After an error it goes on with what could be read.
    pub fn restore(
        &self,
        tally: &StoredCounters,
        reader: &Reader<'_>,
        now_ns: i64,
    ) -> Result<(), RestoreError> {
        let (entries, _) = reader.list(&Filter::default())?;
        let inner = &mut *self.lock();
        inner.carried = Carried::nothing(now_ns);
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
            Some(counted) => Carried::parse(counted)?,
            None => self.carried.clone(),
        };
        let carried = if tally.uncounted.is_empty() {
            before
        } else {
            with_uncounted(&before, &mut projects, &tally.uncounted, reader)?
        };
        self.families
            .make(&|name, labels| carried.values(name, labels))?;
        for (project, drift) in projects.drifts() {
            self.families.drift(project, &drift)?;
        }
        self.projects = projects;
        self.carried = carried;
        Ok(())
    }
}

/// With the builds that were stored after these numbers were written down. They are counted apart from all others, so that what they
/// add up to can be rounded.
fn with_uncounted(
    before: &Carried,
    projects: &mut Projects,
    uncounted: &[BuildId],
    reader: &Reader<'_>,
) -> Result<Carried, RestoreError> {
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
    Ok(Carried::of(&all, before.since_ns).rounded_up())
}

/// The gauges of each target, from its last build. Entries: newest first.
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

/// Sizes of before the last build of each target. Entries: newest first.
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

/// What the projects were last built with. Entries: newest first.
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

/// Whether it built a target that a later build, which was met before, did not.
fn is_news(families: &Families, entry: &Entry) -> bool {
    let mut packages = entry.targets.iter().filter_map(|it| it.package.as_deref());
    packages.any(|it| {
        let [project, target, goos, goarch] = key(entry, it);
        !families.has_target(project, target, goos, goarch)
    })
}

/// As labels have it.
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
