//! Writing to a central history: builds in batches, each batch whole or not at all, and each build once however often it is sent.

use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::session::Session;
use super::{Address, CentralSettings, schema};
use crate::history::build_row::BuildRow;
use crate::history::central_error::CentralError;
use crate::history::error::Cause;
use crate::history::statement::{self, BuildChange};
use crate::history::value::{self, Value};

/// What no two builds share. A tenant cannot tell from a refused build that another has one of this id.
const KEY: &str = "tenant, id";
/// Whoever deletes what is too old holds this lock, for its tenant.
const LOCK: i32 = 0x676f_7472;
/// Builds that are deleted in one transaction.
const BATCH: u32 = 200;

/// A connection to write on.
#[derive(Debug)]
pub(in crate::history) struct CentralWriter {
    session: Session,
    begin: Statement,
    end: Statement,
    target: Statement,
    detail: Statement,
}

impl CentralWriter {
    /// Connects, and makes the tables if nobody has.
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
            session,
        })
    }

    /// Stores all of these. After an error none is, and the connection is of no use any more.
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
        // It is there already, and so is what belongs to it.
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
        Ok(())
    }

    /// Deletes what the tenant has from before this time, in small steps, unless another agent is at it; returns how many builds.
    pub(in crate::history) fn retain(&self, since_ns: i64) -> Result<u64, Cause> {
        let lock = format!(
            "SELECT count(*) FROM (SELECT 1 WHERE pg_try_advisory_xact_lock({LOCK}, hashtext(gotrace.tenant()))) AS held"
        );
        // Builds that are under way for so long are those of an agent that never came back.
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
