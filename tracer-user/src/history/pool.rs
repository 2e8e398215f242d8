//! Reading connections in the process that writes the history.
//!
//! A request takes an idle connection or opens one, and returns it to the pool. The pool holds as many as were in use at once, at most
//! [`MAX_IDLE`]. Only the process of the writer uses it; other processes read with [`super::read()`].

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::connect;
use super::error::{Cause, Error};
use super::read::Reader;

/// Largest number of idle connections.
const MAX_IDLE: usize = 4;

/// Reads a history in the process of its writer.
#[derive(Debug)]
pub struct ReadPool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl ReadPool {
    /// Opens no connection yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Queries the history as of one moment.
    pub fn read<T>(&self, query: impl FnOnce(&Reader<'_>) -> Result<T, Cause>) -> Result<T, Error> {
        self.read_here(query)
            .map_err(|cause| cause.at(self.path.display()))
    }

    fn read_here<T>(
        &self,
        query: impl FnOnce(&Reader<'_>) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect::beside_the_writer(&self.path)?,
        };
        let transaction = connection.unchecked_transaction()?;
        let answer = query(&Reader::new(&*transaction));
        // The transaction ends here: an open transaction in an idle connection would prevent a checkpoint of the log.
        transaction.finish()?;
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
