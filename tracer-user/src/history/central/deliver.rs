//! Writes to a central history, in batches. Each batch is one transaction, and a build that is sent twice is stored once.

use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use tracer_core::history::Kept;

use super::session::Session;
use super::{Address, CentralSettings, schema};
use crate::history::build_row::BuildRow;
use crate::history::causes::{self, Explained};
use crate::history::central_error::CentralError;
use crate::history::error::Cause;
use crate::history::statement::{self, BuildChange};
use crate::history::value::{self, Value};

/// Primary key of a build. With the tenant in the key, a rejected build reveals no ID of another tenant.
const KEY: &str = "tenant, id";
/// Advisory lock of the deletion of old builds, for each tenant.
const LOCK: i32 = 0x676f_7472;
/// Largest number of builds that one transaction deletes.
const BATCH: u32 = 200;

/// A connection for writing.
#[derive(Debug)]
pub(in crate::history) struct CentralWriter {
    session: Session,
    begin: Statement,
    end: Statement,
    target: Statement,
    detail: Statement,
    build_key: Statement,
    unit: Statement,
    action_run: Statement,
    cause: Statement,
}

impl CentralWriter {
    /// Connects, and creates missing tables.
    pub(in crate::history) fn open(
        address: &Address,
        settings: &CentralSettings,
    ) -> Result<Self, Cause> {
        let patience = Duration::from_secs(u64::from(settings.timeout_seconds.max(1)));
        let session = Session::open(address, patience)?;
        schema::prepare(&session)?;
        if let Some(wanted) = &settings.tenant {
            let sql = "SELECT gotrace.tenant()";
            let found: Option<String> = value::one(&session, sql, &[], value::RowValues::next)?;
            let (found, wanted) = (found.unwrap_or_default(), wanted.clone());
            if found != wanted {
                return Err(CentralError::Tenant { found, wanted }.into());
            }
        }
        let prepare = |sql: &str| session.wait(session.client.prepare(sql));
        Ok(Self {
            begin: prepare(&statement::build(BuildChange::Begin, KEY))?,
            end: prepare(&statement::build(BuildChange::End, KEY))?,
            target: prepare(&statement::target())?,
            detail: prepare(&statement::detail())?,
            build_key: prepare(&statement::build_key())?,
            unit: prepare(statement::UNIT)?,
            action_run: prepare(statement::ACTION_RUN)?,
            cause: prepare(statement::CAUSE)?,
            session,
        })
    }

    /// Explains a build by what is stored.
    pub(in crate::history) fn explain(&self, kept: &Kept) -> Result<Explained, Cause> {
        causes::explain_kept(&self.session, kept)
    }

    /// Stores all these builds. After an error none is stored, and the connection must be dropped.
    pub(in crate::history) fn deliver<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a BuildRow>,
    ) -> Result<(), Cause> {
        let client = &self.session.client;
        self.session.wait(async {
            client.batch_execute("BEGIN").await?;
            for build_row in rows {
                self.store(client, build_row).await?;
            }
            client.batch_execute("COMMIT").await
        })
    }

    async fn store(
        &self,
        client: &Client,
        build_row: &BuildRow,
    ) -> Result<(), tokio_postgres::Error> {
        let build = match build_row.change {
            BuildChange::Begin => &self.begin,
            BuildChange::End => &self.end,
        };
        let n_changed = client.execute(build, &parameters(&build_row.build)).await?;
        // The build and its other rows are already stored.
        if n_changed == 0 {
            return Ok(());
        }
        for target in &build_row.targets {
            client.execute(&self.target, &parameters(target)).await?;
        }
        if let Some(packed) = &build_row.packed {
            client
                .execute(&self.detail, &[&build_row.id, &packed.as_slice()])
                .await?;
        }
        if let Some(keys) = &build_row.keys {
            let values: [&(dyn ToSql + Sync); 2] = [&build_row.id, &keys.packed.as_slice()];
            client.execute(&self.build_key, &values).await?;
            for row in &keys.actions {
                client.execute(&self.unit, &parameters(&row.unit)).await?;
                client
                    .execute(&self.action_run, &parameters(&row.run))
                    .await?;
            }
            for row in &keys.causes {
                client.execute(&self.cause, &parameters(row)).await?;
            }
        }
        Ok(())
    }

    /// Deletes the tenant's builds that started before this time, in small steps, unless another agent does. Returns their number.
    pub(in crate::history) fn retain(&self, since_ns: i64) -> Result<u64, Cause> {
        let lock = format!(
            "SELECT count(*) FROM (SELECT 1 WHERE pg_try_advisory_xact_lock({LOCK}, hashtext(gotrace.tenant()))) AS held"
        );
        // Builds that run for so long belong to an agent that never returned.
        let delete = format!(
            "DELETE FROM build WHERE tenant = gotrace.tenant() AND id IN \
             (SELECT id FROM build WHERE tenant = gotrace.tenant() AND started_ns < $1 ORDER BY started_ns, id LIMIT {BATCH})"
        );
        let mut n_deleted = 0;
        loop {
            let client = &self.session.client;
            let n = self.session.wait(async {
                client.batch_execute("BEGIN").await?;
                let is_held: i64 = client.query_one(&lock, &[]).await?.try_get(0)?;
                let n = if is_held == 1 {
                    client.execute(&delete, &[&since_ns]).await?
                } else {
                    0
                };
                client.batch_execute("COMMIT").await?;
                Ok(n)
            })?;
            n_deleted += n;
            if n < u64::from(BATCH) {
                return Ok(n_deleted);
            }
        }
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|it| it as &(dyn ToSql + Sync)).collect()
}
