//! One connection to a central history, for a thread that may wait up to a time limit.

use std::future::Future;
use std::time::Duration;

use bytes::BytesMut;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row};

use super::address::Address;
use super::tls::Tls;
use crate::history::central_error::CentralError;
use crate::history::error::Cause;
use crate::history::value::{Query, RowValues, Value};

/// A connection. After an error it must be dropped, because the state on the server is unknown.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    /// Drives the connection while a caller waits. `None` only in `drop`.
    runtime: Option<Runtime>,
    patience: Duration,
}

impl Session {
    /// Connects. `patience` is the time limit for the connection, and then for each answer.
    pub(super) fn open(address: &Address, patience: Duration) -> Result<Self, Cause> {
        let meant = address.meant()?.with_password()?;
        let tls = Tls::new(&meant)?;
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .map_err(CentralError::Loop)?;
        let mut config = meant.config;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(patience);
        }
        let connect = async {
            let (client, connection) = config.connect(tls).await?;
            // The next request reports the end of the connection.
            tokio::spawn(async { connection.await.unwrap_or(()) });
            Ok::<_, tokio_postgres::Error>(client)
        };
        let connected = runtime.block_on(async { timeout(patience, connect).await });
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(trouble)) => {
                runtime.shutdown_background();
                return Err(CentralError::from(trouble).into());
            }
            Err(_) => {
                // A name lookup may outlast the time limit.
                runtime.shutdown_background();
                return Err(CentralError::Slow.into());
            }
        };
        let session = Self {
            client,
            runtime: Some(runtime),
            patience,
        };
        // Only this schema and PostgreSQL's own: a table in another schema could shadow one of these.
        session.run(&format!(
            "SET search_path = gotrace, pg_catalog; SET client_min_messages = error; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}",
            patience.as_millis(),
            patience.as_millis() * 3
        ))?;
        Ok(session)
    }

    /// Runs statements without parameters and ignores their results.
    pub(super) fn run(&self, sql: &str) -> Result<(), Cause> {
        self.wait(self.client.batch_execute(sql))
    }

    pub(super) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Cause> {
        // The runtime exists until `drop`.
        let Some(runtime) = &self.runtime else {
            return Err(CentralError::Slow.into());
        };
        // Longer than the server's own limit, so that the server can report it.
        let patience = self.patience + self.patience / 2;
        match runtime.block_on(async { timeout(patience, answer).await }) {
            Ok(answer) => Ok(answer.map_err(CentralError::from)?),
            Err(_) => Err(CentralError::Slow.into()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Query for Session {
    fn each(
        &self,
        sql: &str,
        values: &[Value],
        take: &mut dyn FnMut(RowValues) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
        for row in self.wait(self.client.query(sql, &values))? {
            take(row_values(&row)?.into())?;
        }
        Ok(())
    }
}

fn row_values(row: &Row) -> Result<Vec<Value>, Cause> {
    (0..row.len())
        .map(|n| Ok(row.try_get(n).map_err(CentralError::from)?))
        .collect()
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Number(i64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Bytes(raw.to_owned()),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Nothing)
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Nothing => Ok(IsNull::Yes),
            Self::Number(n) => n.to_sql_checked(ty, out),
            // PostgreSQL stores no NUL in text, but names in a hostile output may contain one.
            Self::Text(text) if text.contains('\0') => {
                text.replace('\0', "\u{fffd}").to_sql_checked(ty, out)
            }
            Self::Text(text) => text.to_sql_checked(ty, out),
            Self::Bytes(bytes) => bytes.to_sql_checked(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <Self as FromSql<'_>>::accepts(ty)
    }

    to_sql_checked!();
}
