//! Tables of the central history. Numbered migrations create and change them, one process at a time. An older gotrace never does.

use super::session::Session;
use crate::history::central_error::CentralError;
use crate::history::error::Cause;
use crate::history::value;

/// One migration for each change of the tables, in order. A released migration never changes. Each sets the number in `gotrace.form`.
const MIGRATIONS: [&str; 4] = [
    include_str!("../schema/postgres-1.sql"),
    include_str!("../schema/postgres-2.sql"),
    include_str!("../schema/postgres-3.sql"),
    include_str!("../schema/postgres-4.sql"),
];
/// Version of the schema that this gotrace reads and writes.
const SCHEMA_VERSION: i64 = 4;
/// Advisory lock of a migration: "gotr".
const LOCK: i64 = 0x676f_7472;

/// All migrations, for `psql`.
pub(super) fn text() -> String {
    format!("BEGIN;\n\n{}\nCOMMIT;\n", MIGRATIONS.join("\n"))
}

/// Fails unless the tables have the right version and this user can use them.
pub(super) fn check(session: &Session) -> Result<(), Cause> {
    match version(session)? {
        0 => Err(CentralError::Unprepared.into()),
        SCHEMA_VERSION => Ok(()),
        found if found > SCHEMA_VERSION => Err(Cause::Newer {
            found,
            known: SCHEMA_VERSION,
        }),
        found => Err(CentralError::Older {
            found,
            known: SCHEMA_VERSION,
        }
        .into()),
    }
}

/// Creates or upgrades the tables, if needed.
pub(super) fn prepare(session: &Session) -> Result<(), Cause> {
    if version(session)? >= SCHEMA_VERSION {
        return check(session);
    }
    session.run(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))?;
    // Another process may have migrated them meanwhile.
    let version = usize::try_from(version(session)?).unwrap_or(usize::MAX);
    for migration in MIGRATIONS.iter().skip(version) {
        session.run(migration)?;
    }
    session.run("COMMIT")?;
    check(session)
}

/// The version of the schema; 0 if there are no tables.
fn version(session: &Session) -> Result<i64, Cause> {
    // A role without rights on a schema still sees that the schema exists.
    let n = value::one(
        session,
        "SELECT count(*) FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE nspname = 'gotrace' AND relname = 'form'",
        &[],
        value::RowValues::count,
    )?;
    if n == Some(0) {
        return Ok(0);
    }
    let version = value::one(session, "SELECT number FROM gotrace.form", &[], |it| {
        it.next()
    })?;
    Ok(version.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_version_is_the_number_of_migrations() {
        assert_eq!(usize::try_from(SCHEMA_VERSION).unwrap(), MIGRATIONS.len());
    }
}
