//! The common part of both databases: values, rows, and queries.
//!
//! Both databases get the same statements, with numbered parameters. This module opens no database.

use std::fmt;

use super::error::Cause;

/// A value of a row or a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A database, read at one moment.
pub(super) trait Query: fmt::Debug {
    /// Passes each row of the result to `take`. An error of `take` ends the query.
    fn each(
        &self,
        sql: &str,
        values: &[Value],
        take: &mut dyn FnMut(RowValues) -> Result<(), Cause>,
    ) -> Result<(), Cause>;
}

/// Reads every row of the result.
pub(super) fn all<T>(
    rows: &dyn Query,
    sql: &str,
    values: &[Value],
    read: impl Fn(&mut RowValues) -> Result<T, Cause>,
) -> Result<Vec<T>, Cause> {
    let mut all = Vec::new();
    rows.each(sql, values, &mut |mut values| {
        all.push(read(&mut values)?);
        Ok(())
    })?;
    Ok(all)
}

/// Reads the last row of the result. The result should have at most one.
pub(super) fn one<T>(
    rows: &dyn Query,
    sql: &str,
    values: &[Value],
    read: impl Fn(&mut RowValues) -> Result<T, Cause>,
) -> Result<Option<T>, Cause> {
    Ok(all(rows, sql, values, read)?.pop())
}

/// The values of a row, from left to right.
pub(super) struct RowValues(std::vec::IntoIter<Value>);

impl RowValues {
    pub(super) fn next<T: FromValue>(&mut self) -> Result<T, Cause> {
        let value = self.0.next().ok_or(Cause::Row("too few columns"))?;
        T::from_value(value)
    }

    pub(super) fn count(&mut self) -> Result<u64, Cause> {
        let n: i64 = self.next()?;
        u64::try_from(n).map_err(|_| Cause::Row("a negative count"))
    }

    pub(super) fn rest(self) -> Vec<Value> {
        self.0.collect()
    }
}

impl From<Vec<Value>> for RowValues {
    fn from(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }
}

/// A type that can be read from a value.
pub(super) trait FromValue: Sized {
    fn from_value(value: Value) -> Result<Self, Cause>;
}

const OTHER_KIND: Cause = Cause::Row("a value of another kind");

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Cause> {
        Ok(value)
    }
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Result<Self, Cause> {
        match value {
            Value::Number(n) => Ok(n),
            Value::Nothing | Value::Text(_) | Value::Bytes(_) => Err(OTHER_KIND),
        }
    }
}

impl FromValue for u32 {
    fn from_value(value: Value) -> Result<Self, Cause> {
        let n = i64::from_value(value)?;
        Self::try_from(n).map_err(|_| Cause::Row("a count out of range"))
    }
}

impl FromValue for u8 {
    fn from_value(value: Value) -> Result<Self, Cause> {
        let n = i64::from_value(value)?;
        Self::try_from(n).map_err(|_| Cause::Row("a status out of range"))
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Cause> {
        match value {
            Value::Text(text) => Ok(text),
            Value::Nothing | Value::Number(_) | Value::Bytes(_) => Err(OTHER_KIND),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, Cause> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Nothing | Value::Number(_) | Value::Text(_) => Err(OTHER_KIND),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Cause> {
        match value {
            Value::Nothing => Ok(None),
            it @ (Value::Number(_) | Value::Text(_) | Value::Bytes(_)) => {
                T::from_value(it).map(Some)
            }
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Number(n)
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Number(n.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}
