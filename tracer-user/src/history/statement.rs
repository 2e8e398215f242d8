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
pub(super) const ACTION_RUN: &str = "INSERT INTO action_run (unit_id, position, action_id, cpu_ns) \
     SELECT CAST($1 AS BIGINT), build_key.position, CAST($2 AS TEXT), CAST($3 AS BIGINT) FROM build_key \
     WHERE build_key.build_id = $4 ON CONFLICT DO NOTHING";

/// Writes the packed trace, after the row of its build.
pub(super) fn detail() -> String {
    insert("detail", &["build_id", "packed"])
}
