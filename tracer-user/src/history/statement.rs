//! Writing statements for both databases. Only these statements decide which state of a build replaces another.

use super::row;

/// A change of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuildChange {
    /// The build runs. Of a stored build, this changes only the state `cut_off`.
    Begin,
    /// The build ended. This replaces the row of a running or cut-off build, and no other.
    End,
}

/// `INSERT INTO table (a, b) VALUES ($1, $2)`.
pub(super) fn insert(table: &str, columns: &[&str]) -> String {
    let values: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    format!(
        "INSERT INTO {table} ({}) VALUES ({})",
        columns.join(", "),
        values.join(", ")
    )
}

/// Writes a row of `build`; the result is the number of changed rows. `key` lists the columns of the primary key.
pub(super) fn build(change: BuildChange, key: &str) -> String {
    let insert = insert("build", &row::BUILD);
    match change {
        BuildChange::Begin => format!(
            "{insert} ON CONFLICT ({key}) DO UPDATE SET state = excluded.state WHERE build.state = 'cut_off'"
        ),
        BuildChange::End => {
            let set: Vec<String> = row::BUILD
                .iter()
                .filter(|it| **it != "id")
                .map(|it| format!("{it} = excluded.{it}"))
                .collect();
            format!(
                "{insert} ON CONFLICT ({key}) DO UPDATE SET {} WHERE build.state IN ('running', 'cut_off')",
                set.join(", ")
            )
        }
    }
}

/// Writes a row of `target`, after the row of its build.
pub(super) fn target() -> String {
    insert("target", &row::TARGET)
}

/// Writes the packed keys of a build, after the row of the build.
pub(super) fn build_key() -> String {
    insert("build_key", &["build_id", "packed"])
}

/// Adds a unit, if it is new.
pub(super) const UNIT: &str = "INSERT INTO unit (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING";

/// Writes an action of a build, after its unit and the keys of the build. The casts are for `PostgreSQL`, which finds no types here. The
/// numbers rise, because `SQLite` counts parameters in the order of the text.
pub(super) const ACTION_RUN: &str = "INSERT INTO action_run (unit_id, position, action_id, cpu_ns, failed, ended_ns, reason, place) \
     SELECT CAST($1 AS BIGINT), build_key.position, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), \
     CAST($5 AS BIGINT), CAST($6 AS TEXT), CAST($7 AS TEXT) FROM build_key \
     WHERE build_key.build_id = $8 ON CONFLICT DO NOTHING";

/// Writes a cause of a build, after the keys of the build.
pub(super) const CAUSE: &str = "INSERT INTO rebuild_cause (position, ordinal, reason, cause, actions, cpu_ns) \
     SELECT build_key.position, CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT) \
     FROM build_key WHERE build_key.build_id = $6 ON CONFLICT DO NOTHING";

/// The actions of a build, as parameters of [`UNIT`] and then of [`ACTION_RUN`], but for the ID of the build.
pub(super) const ACTIONS_OF_BUILD: &str = "SELECT unit.id, unit.name, action_run.action_id, action_run.cpu_ns, action_run.failed, \
     action_run.ended_ns, action_run.reason, action_run.place \
     FROM action_run JOIN unit ON unit.id = action_run.unit_id JOIN build_key ON build_key.position = action_run.position \
     WHERE build_key.build_id = $1";

/// The causes of a build, as parameters of [`CAUSE`], but for the ID of the build.
pub(super) const CAUSES_OF_BUILD: &str = "SELECT rebuild_cause.ordinal, rebuild_cause.reason, rebuild_cause.cause, rebuild_cause.actions, \
     rebuild_cause.cpu_ns FROM rebuild_cause JOIN build_key ON build_key.position = rebuild_cause.position \
     WHERE build_key.build_id = $1";

/// Writes the packed trace, after the row of its build.
pub(super) fn detail() -> String {
    insert("detail", &["build_id", "packed"])
}
