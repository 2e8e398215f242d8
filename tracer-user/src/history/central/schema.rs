//! Tables of the central history: made and changed by numbered migrations, by one at a time, and never by an older gotrace.

use super::session::Session;
use crate::history::cell;
use crate::history::central_error::CentralError;
use crate::history::error::Cause;

/// One for each change of the tables, in order; never changed once released. Each ends by setting the number in `gotrace.form`.
const MIGRATIONS: [&str; 1] = [include_str!("../schema/postgres-1.sql")];
/// Form of the tables that this gotrace reads and writes.
const FORM: i64 = 1;
/// Whoever migrates holds this lock: "gotr".
const LOCK: i64 = 0x676f_7472;

/// All migrations, for `psql`.
pub(super) fn text() -> String {
    format!("BEGIN;\n\n{}\nCOMMIT;\n", MIGRATIONS.join("\n"))
}

/// Fails unless the tables are there in the right form, and can be used by whoever asks.
pub(super) fn check(session: &Session) -> Result<(), Cause> {
    match form(session)? {
        0 => Err(CentralError::Unprepared.into()),
        FORM => Ok(()),
        found if found > FORM => Err(Cause::Newer { found, known: FORM }),
        found => Err(CentralError::Older { found, known: FORM }.into()),
    }
}

/// Makes the tables, or brings them up to date, if that is needed.
pub(super) fn prepare(session: &Session) -> Result<(), Cause> {
    if form(session)? >= FORM {
        return check(session);
    }
    session.run(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))?;
    // Somebody else may have been faster.
    let form = usize::try_from(form(session)?).unwrap_or(usize::MAX);
    for migration in MIGRATIONS.iter().skip(form) {
        session.run(migration)?;
    }
    session.run("COMMIT")?;
    check(session)
}

/// 0 if there are no tables.
fn form(session: &Session) -> Result<i64, Cause> {
    // Whoever may not use a schema still sees that it is there.
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
    let form = value::one(session, "SELECT number FROM gotrace.form", &[], |it| {
        it.next()
    })?;
    Ok(form.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_number_of_migrations() {
        assert_eq!(usize::try_from(FORM).unwrap(), MIGRATIONS.len());
    }
}
