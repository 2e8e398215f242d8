//! Asking `SQLite`: values and rows in its types.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::cell::{Cell, Cells, Rows};
use super::error::Why;

impl Rows for Connection {
    fn each(
        &self,
        sql: &str,
        values: &[Cell],
        take: &mut dyn FnMut(Cells) -> Result<(), Why>,
    ) -> Result<(), Why> {
        let mut statement = self.prepare(sql)?;
        let n_columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let cells: Result<Vec<Cell>, Why> = (0..n_columns).map(|n| cell(row.get(n)?)).collect();
            take(cells?.into())?;
        }
        Ok(())
    }
}

fn cell(value: Value) -> Result<Cell, Why> {
    match value {
        Value::Null => Ok(Cell::Nothing),
        Value::Integer(n) => Ok(Cell::Number(n)),
        Value::Text(text) => Ok(Cell::Text(text)),
        Value::Blob(bytes) => Ok(Cell::Bytes(bytes)),
        Value::Real(_) => Err(Why::Row("a number that is not whole")),
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Nothing => ValueRef::Null,
            Self::Number(n) => ValueRef::Integer(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
