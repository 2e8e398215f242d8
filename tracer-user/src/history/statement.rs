//! Statements that write, for both databases. The rules of what takes the place of what are here and nowhere else.

use super::row;

/// What is to be written of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuildChange {
    /// It is under way: of what is known nothing is changed, but that it was cut off.
    Begin,
    /// It is over: what was known while it ran makes place, and nothing else.
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

/// Writes a row of `build`; says of how many rows something changed. `key`: columns that no two builds share.
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

/// Writes a row of `target`, after that of its build.
pub(super) fn target() -> String {
    insert("target", &row::TARGET)
}

/// Writes the packed trace, after the row of its build.
pub(super) fn detail() -> String {
    insert("detail", &["build_id", "packed"])
}
