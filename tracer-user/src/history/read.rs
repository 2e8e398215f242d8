//! Reads lists of builds, newest first, and single builds with their context. Changes nothing.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::advise::Advice;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, BuildId, Entry, IdPrefix, Target};
use tracer_core::model::State;

use super::advise;
use super::causes::{self, Explained};
use super::connect::{self, FileStamp, ReadConnection};
use super::error::{Cause, Error};
use super::row;
use super::value::{self, Query, RowValues};

/// Largest number of IDs in one statement.
const IDS: usize = 500;
/// Number of IDs that the error of an ambiguous prefix names.
const EXAMPLES: usize = 4;
/// Number of earlier builds whose details are compared.
const EARLIER: usize = 20;
/// Largest number of reads of a database that changes meanwhile.
const TRIES: usize = 5;

/// Conditions on builds. An absent field is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Path of the main module, or its last elements.
    pub project: Option<String>,
    /// Import path of a main package, or the path or the name of an output.
    pub target: Option<String>,
    pub state: Option<State>,
    pub branch: Option<String>,
    /// Revision of version control, or its beginning.
    pub revision: Option<String>,
    /// Release of Go, `go1.27.3`, or its minor version, `go1.27`.
    pub go_version: Option<String>,
    /// Another build with the same project and command line as this one.
    pub like: Option<Entry>,
    /// Name of the machine.
    pub host: Option<String>,
    /// Directory of the build, or one above it.
    pub dir: Option<String>,
    /// Started at this time or later; nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Started before this time.
    pub until_ns: Option<i64>,
    pub limit: Option<usize>,
}

/// A build with its context.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildView {
    pub entry: Entry,
    /// `None` for a build that runs or was cut off.
    pub finished: Option<FinishedTrace>,
    /// Nested builds, in order of their start.
    pub nested: Vec<BuildId>,
    /// For each target, the last earlier output that is comparable.
    pub previous: Vec<Option<Previous>>,
}

/// An output of an earlier build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Previous {
    pub build: BuildId,
    /// Nanoseconds since 1970.
    pub started_ns: i64,
    pub size: u64,
}

/// A history opened for reading, as of one moment.
#[derive(Debug)]
pub struct Reader<'a> {
    rows: &'a dyn Query,
}

/// Opens and queries a history. `query` is called again if the file changed in a way that invalidates the first result.
pub fn read<T>(path: &Path, query: impl Fn(&Reader<'_>) -> Result<T, Cause>) -> Result<T, Error> {
    read_here(path, query).map_err(|cause| cause.at(path.display()))
}

fn read_here<T>(path: &Path, query: impl Fn(&Reader<'_>) -> Result<T, Cause>) -> Result<T, Cause> {
    at_one_moment(path, |connection| query(&Reader::new(connection)))
}

/// Copies a history into a new file, even while it is written. `with_rights` runs the part that creates the file.
pub fn back_up(
    path: &Path,
    to: &Path,
    with_rights: impl Fn(&mut dyn FnMut() -> Result<(), Cause>) -> Result<(), Cause>,
) -> Result<(), Error> {
    let is_copied = Cell::new(false);
    let copied = at_one_moment(path, |connection| {
        if is_copied.take() {
            // The previous copy may be inconsistent.
            fs::remove_file(to)?;
        }
        // All files of the database are open before the rights change.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let copied = with_rights(&mut || connect::back_up(connection, to));
        is_copied.set(copied.is_ok());
        Ok(copied.map_err(|cause| cause.at(to.display())))
    });
    copied.map_err(|cause| cause.at(path.display()))?
}

/// Runs `work` on a history as of one moment. `work` runs again if the file changed in a way that invalidates the first run.
fn at_one_moment<T>(
    path: &Path,
    work: impl Fn(&Connection) -> Result<T, Cause>,
) -> Result<T, Cause> {
    for n in 1..=TRIES {
        let ReadConnection { connection, stamp } = match connect::for_reading(path) {
            Ok(opened) => opened,
            // The last writer may have ended and removed its log since the stamp was taken.
            Err(Cause::Sqlite(_) | Cause::Unwritable(_) | Cause::Damaged(_)) if n < TRIES => {
                continue;
            }
            Err(cause) => return Err(cause),
        };
        // One transaction, so that all statements read the same state.
        let transaction = connection.unchecked_transaction()?;
        let done = work(&transaction);
        if stamp.is_none() || FileStamp::of(path)? == stamp {
            return done;
        }
    }
    Err(Cause::Busy)
}

impl<'a> Reader<'a> {
    pub(super) fn new(rows: &'a dyn Query) -> Self {
        Self { rows }
    }

    /// The matching builds, newest first, and true if the limit omitted some.
    pub fn list(&self, filter: &Filter) -> Result<(Vec<Entry>, bool), Cause> {
        let (condition, values) = condition(filter);
        let limit = filter.limit.map_or(i64::MAX, |it| {
            i64::try_from(it).unwrap_or(i64::MAX).saturating_add(1)
        });
        let sql = format!(
            "SELECT {} FROM build WHERE {condition} ORDER BY started_ns DESC, id DESC LIMIT {limit}",
            row::BUILD.join(", ")
        );
        let mut entries = self.entries(&sql, &values)?;
        let has_more = filter.limit.is_some_and(|it| entries.len() > it);
        entries.truncate(filter.limit.unwrap_or(usize::MAX));
        self.add_targets(&mut entries)?;
        Ok((entries, has_more))
    }

    /// The only build whose ID begins with this prefix.
    pub fn show(&self, prefix: &IdPrefix) -> Result<BuildView, Cause> {
        self.view(self.find(prefix)?)
    }

    /// The newest matching build.
    pub fn newest(&self, filter: &Filter) -> Result<Option<BuildView>, Cause> {
        let filter = Filter {
            limit: Some(1),
            ..filter.clone()
        };
        let entry = self.list(&filter)?.0.pop();
        entry
            .map(|it| self.view(it.id.as_str().to_owned()))
            .transpose()
    }

    fn view(&self, id: String) -> Result<BuildView, Cause> {
        let sql = format!("SELECT {} FROM build WHERE id = $1", row::BUILD.join(", "));
        let mut entries = self.entries(&sql, &[id.into()])?;
        self.add_targets(&mut entries)?;
        let entry = entries.pop().ok_or(Cause::Row("a build that is gone"))?;
        let id = entry.id.as_str();
        let packed: Option<Vec<u8>> = value::one(
            self.rows,
            "SELECT packed FROM detail WHERE build_id = $1",
            &[id.into()],
            RowValues::next,
        )?;
        let trace = packed.map(|it| history::unpack(&it)).transpose()?;
        let finished = trace.map(FinishedTrace::of);
        let nested = value::all(
            self.rows,
            "SELECT id FROM build WHERE parent_id = $1 ORDER BY started_ns, id",
            &[id.into()],
            |values| Ok(values.next::<String>()?.parse()?),
        )?;
        let targets = entry.targets.iter();
        let previous: Result<_, Cause> = targets.map(|it| self.previous(&entry, it)).collect();
        Ok(BuildView {
            nested,
            previous: previous?,
            finished,
            entry,
        })
    }

    /// The details of the last builds of the same project before this one, latest first.
    pub fn earlier(&self, entry: &Entry) -> Result<Vec<FinishedTrace>, Cause> {
        let sql = format!(
            "SELECT detail.packed FROM build JOIN detail ON detail.build_id = build.id \
             WHERE coalesce(build.project, '') = $1 AND build.started_ns < $2 ORDER BY build.started_ns DESC LIMIT {EARLIER}"
        );
        let project = entry.project.clone().unwrap_or_default();
        let packed: Vec<Vec<u8>> = value::all(
            self.rows,
            &sql,
            &[project.into(), entry.started_ns.into()],
            RowValues::next,
        )?;
        let traces = packed
            .iter()
            .map(|it| Ok(FinishedTrace::of(history::unpack(it)?)));
        traces.collect()
    }

    /// The causes of a build's actions, and the work that it repeated; empty without keys.
    pub fn explain(&self, shown: &BuildView) -> Result<Explained, Cause> {
        match shown.finished.as_ref().map(FinishedTrace::trace) {
            Some(trace) => causes::explain_stored(self.rows, &shown.entry, trace),
            None => Ok(Explained::default()),
        }
    }

    /// Advice over the builds that match. `now_ns` is the end of the period, in nanoseconds since 1970.
    pub fn advise(&self, filter: &Filter, now_ns: i64) -> Result<Advice, Cause> {
        advise::read(self.rows, filter, now_ns)
    }

    /// True if the finished build is stored.
    pub fn is_stored(&self, id: &BuildId) -> Result<bool, Cause> {
        let state: Option<String> = value::one(
            self.rows,
            "SELECT state FROM build WHERE id = $1",
            &[id.as_str().into()],
            RowValues::next,
        )?;
        Ok(state.is_some_and(|it| it != State::Running.name() && it != State::CutOff.name()))
    }

    fn find(&self, prefix: &IdPrefix) -> Result<String, Cause> {
        let end = prefix.end();
        let between = [prefix.as_str().into(), end.into()];
        let n: Option<i64> = value::one(
            self.rows,
            "SELECT count(*) FROM build WHERE id >= $1 AND id < $2",
            &between,
            RowValues::next,
        )?;
        let mut ids: Vec<String> = value::all(
            self.rows,
            &format!(
                "SELECT id FROM build WHERE id >= $1 AND id < $2 ORDER BY id LIMIT {EXAMPLES}"
            ),
            &between,
            RowValues::next,
        )?;
        match (n.unwrap_or(0), ids.pop()) {
            (1, Some(id)) => Ok(id),
            (_, None) => Err(Cause::NoSuchBuild {
                id: prefix.as_str().to_owned(),
            }),
            (n, Some(id)) => {
                ids.push(id);
                let more = usize::try_from(n).unwrap_or(usize::MAX);
                let rest = if more > ids.len() { " ..." } else { "" };
                Err(Cause::Ambiguous {
                    id: prefix.as_str().to_owned(),
                    n: more,
                    examples: format!("{}{rest}", ids.join(", ")),
                })
            }
        }
    }

    fn previous(&self, entry: &Entry, target: &Target) -> Result<Option<Previous>, Cause> {
        let Some(baseline) = &target.baseline else {
            return Ok(None);
        };
        value::one(
            self.rows,
            "SELECT build.id, build.started_ns, target.size \
             FROM target JOIN build ON build.id = target.build_id \
             WHERE target.baseline_id = $1 AND target.size IS NOT NULL \
             AND build.state = 'succeeded' AND build.started_ns < $2 \
             AND ($3 = '' OR build.revision IS NULL OR build.revision <> $3) \
             ORDER BY build.started_ns DESC, build.id DESC LIMIT 1",
            &[
                baseline.id().as_str().into(),
                entry.started_ns.into(),
                entry.commit().unwrap_or_default().into(),
            ],
            |values| {
                Ok(Previous {
                    build: values.next::<String>()?.parse()?,
                    started_ns: values.next()?,
                    size: values.count()?,
                })
            },
        )
    }

    fn entries(&self, sql: &str, values: &[value::Value]) -> Result<Vec<Entry>, Cause> {
        value::all(self.rows, sql, values, row::entry)
    }

    fn add_targets(&self, entries: &mut [Entry]) -> Result<(), Cause> {
        let mut by_build: BTreeMap<String, Vec<Target>> = BTreeMap::new();
        for some in entries.chunks(IDS) {
            let marks: Vec<String> = (1..=some.len()).map(|n| format!("${n}")).collect();
            let sql = format!(
                "SELECT {} FROM target WHERE build_id IN ({}) ORDER BY build_id, ordinal",
                row::TARGET.join(", "),
                marks.join(", ")
            );
            let ids: Vec<value::Value> = some.iter().map(|it| it.id.as_str().into()).collect();
            for (build, target) in value::all(self.rows, &sql, &ids, row::target)? {
                by_build.entry(build).or_default().push(target);
            }
        }
        for entry in entries {
            entry.targets = by_build.remove(entry.id.as_str()).unwrap_or_default();
        }
        Ok(())
    }
}

/// The text after WHERE, and its values in order.
pub(super) fn condition(filter: &Filter) -> (String, Vec<value::Value>) {
    let Filter {
        project,
        target,
        state,
        branch,
        revision,
        go_version,
        like,
        host,
        dir,
        since_ns,
        until_ns,
        limit: _,
    } = filter;
    let mut terms = WhereClause::default();
    if let Some(project) = project {
        terms.add(
            "(project = $ OR project LIKE $ ESCAPE '!')",
            [
                project.clone().into(),
                format!("%/{}", literally(project)).into(),
            ],
        );
    }
    if let Some(target) = target {
        terms.add(
            "EXISTS (SELECT 1 FROM target WHERE target.build_id = build.id \
             AND (target.package = $ OR target.name = $ OR target.path = $))",
            [
                target.clone().into(),
                target.clone().into(),
                target.clone().into(),
            ],
        );
    }
    if let Some(state) = state {
        terms.add("state = $", [state.name().to_owned().into()]);
    }
    if let Some(branch) = branch {
        terms.add("branch = $", [branch.clone().into()]);
    }
    if let Some(revision) = revision {
        terms.add(
            "revision LIKE $ ESCAPE '!'",
            [format!("{}%", literally(revision)).into()],
        );
    }
    if let Some(version) = go_version {
        terms.add(
            "(go_version = $ OR go_version LIKE $ ESCAPE '!')",
            [
                version.clone().into(),
                format!("{}.%", literally(version)).into(),
            ],
        );
    }
    if let Some(like) = like {
        terms.add(
            "(id <> $ AND coalesce(project, '') = $ AND command_line = $)",
            [
                like.id.as_str().to_owned().into(),
                like.project.clone().unwrap_or_default().into(),
                like.command_line.clone().into(),
            ],
        );
    }
    if let Some(host) = host {
        terms.add("host = $", [host.clone().into()]);
    }
    if let Some(dir) = dir {
        let dir = dir.trim_end_matches('/');
        terms.add(
            "(dir = $ OR dir LIKE $ ESCAPE '!')",
            [
                dir.to_owned().into(),
                format!("{}/%", literally(dir)).into(),
            ],
        );
    }
    if let Some(since) = since_ns {
        terms.add("started_ns >= $", [(*since).into()]);
    }
    if let Some(until) = until_ns {
        terms.add("started_ns < $", [(*until).into()]);
    }
    (terms.text, terms.values)
}

struct WhereClause {
    text: String,
    values: Vec<value::Value>,
}

impl Default for WhereClause {
    fn default() -> Self {
        Self {
            text: "1 = 1".to_owned(),
            values: Vec::new(),
        }
    }
}

impl WhereClause {
    /// Adds a term; each `$` gets the number of its value. Both databases read rising numbers alike.
    fn add<const N: usize>(&mut self, term: &str, values: [value::Value; N]) {
        self.text.push_str(" AND ");
        let mut number = self.values.len();
        for character in term.chars() {
            self.text.push(character);
            if character == '$' {
                number += 1;
                self.text.push_str(&number.to_string());
            }
        }
        self.values.extend(values);
    }
}

/// Escapes the characters of a name that LIKE treats as patterns.
fn literally(name: &str) -> String {
    name.replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_")
}
