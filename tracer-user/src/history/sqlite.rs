//! Queries of `SQLite`, with conversion of its values.

use rusqlite::types::{self, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::error::Cause;
use super::value::{Query, RowValues, Value};

impl Query for Connection {
    fn each(
        &self,
        sql: &str,
        parameters: &[Value],
        take: &mut dyn FnMut(RowValues) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let mut statement = self.prepare(sql)?;
        let n_columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(parameters))?;
        while let Some(row) = rows.next()? {
            let values: Result<Vec<Value>, Cause> =
                (0..n_columns).map(|n| from_sqlite(row.get(n)?)).collect();
            take(values?.into())?;
        }
        Ok(())
    }
}

fn from_sqlite(value: types::Value) -> Result<Value, Cause> {
    match value {
        types::Value::Null => Ok(Value::Nothing),
        types::Value::Integer(n) => Ok(Value::Number(n)),
        types::Value::Text(text) => Ok(Value::Text(text)),
        types::Value::Blob(bytes) => Ok(Value::Bytes(bytes)),
        types::Value::Real(_) => Err(Cause::Row("a number that is not whole")),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Nothing => ValueRef::Null,
            Self::Number(n) => ValueRef::Integer(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
