//! What both databases have in common: values, rows of them, and statements that are answered with rows.
//!
//! Statements have numbered parameters and are the same text for both. How a database is reached is not known here.

use std::fmt;

use super::error::Why;

/// A value in a row, or of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Nothing,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A database at one moment, to be asked.
pub(super) trait Rows: fmt::Debug {
    /// Gives every row of the answer to `take`, which may end it.
    fn each(
        &self,
        sql: &str,
        values: &[Cell],
        take: &mut dyn FnMut(Cells) -> Result<(), Why>,
    ) -> Result<(), Why>;
}

/// Every row of the answer.
pub(super) fn all<T>(
    rows: &dyn Rows,
    sql: &str,
    values: &[Cell],
    read: impl Fn(&mut Cells) -> Result<T, Why>,
) -> Result<Vec<T>, Why> {
    let mut all = Vec::new();
    rows.each(sql, values, &mut |mut cells| {
        all.push(read(&mut cells)?);
        Ok(())
    })?;
    Ok(all)
}

/// The last row of the answer, which should have no more than one.
pub(super) fn one<T>(
    rows: &dyn Rows,
    sql: &str,
    values: &[Cell],
    read: impl Fn(&mut Cells) -> Result<T, Why>,
) -> Result<Option<T>, Why> {
    Ok(all(rows, sql, values, read)?.pop())
}

/// Cells of a row from left to right.
pub(super) struct Cells(std::vec::IntoIter<Cell>);

impl Cells {
    pub(super) fn next<T: FromCell>(&mut self) -> Result<T, Why> {
        let cell = self.0.next().ok_or(Why::Row("too few columns"))?;
        T::from_cell(cell)
    }

    pub(super) fn count(&mut self) -> Result<u64, Why> {
        let n: i64 = self.next()?;
        u64::try_from(n).map_err(|_| Why::Row("a negative count"))
    }

    pub(super) fn rest(self) -> Vec<Cell> {
        self.0.collect()
    }
}

impl From<Vec<Cell>> for Cells {
    fn from(cells: Vec<Cell>) -> Self {
        Self(cells.into_iter())
    }
}

/// What a cell can be read as.
pub(super) trait FromCell: Sized {
    fn from_cell(cell: Cell) -> Result<Self, Why>;
}

const OTHER_KIND: Why = Why::Row("a value of another kind");

impl FromCell for i64 {
    fn from_cell(cell: Cell) -> Result<Self, Why> {
        match cell {
            Cell::Number(n) => Ok(n),
            Cell::Nothing | Cell::Text(_) | Cell::Bytes(_) => Err(OTHER_KIND),
        }
    }
}

impl FromCell for u32 {
    fn from_cell(cell: Cell) -> Result<Self, Why> {
        let n = i64::from_cell(cell)?;
        Self::try_from(n).map_err(|_| Why::Row("a count out of range"))
    }
}

impl FromCell for u8 {
    fn from_cell(cell: Cell) -> Result<Self, Why> {
        let n = i64::from_cell(cell)?;
        Self::try_from(n).map_err(|_| Why::Row("a status out of range"))
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell) -> Result<Self, Why> {
        match cell {
            Cell::Text(text) => Ok(text),
            Cell::Nothing | Cell::Number(_) | Cell::Bytes(_) => Err(OTHER_KIND),
        }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: Cell) -> Result<Self, Why> {
        match cell {
            Cell::Bytes(bytes) => Ok(bytes),
            Cell::Nothing | Cell::Number(_) | Cell::Text(_) => Err(OTHER_KIND),
        }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell) -> Result<Self, Why> {
        match cell {
            Cell::Nothing => Ok(None),
            it @ (Cell::Number(_) | Cell::Text(_) | Cell::Bytes(_)) => T::from_cell(it).map(Some),
        }
    }
}

impl From<i64> for Cell {
    fn from(n: i64) -> Self {
        Self::Number(n)
    }
}

impl From<u32> for Cell {
    fn from(n: u32) -> Self {
        Self::Number(n.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Cell {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}
