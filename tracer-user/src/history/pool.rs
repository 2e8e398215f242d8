//! The connections through which the process that writes a history also reads it.
//!
//! A request takes an idle connection, or opens one, and leaves it for the next. The pool holds as many as were in use at once, no more
//! than [`MAX_IDLE`]. It is for the process of the writer alone; everybody else reads with [`super::read()`].

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::connect;
use super::error::{Cause, Error};
use super::read::Reader;

/// Idle connections that are kept.
const MAX_IDLE: usize = 4;

/// Reads a history in the process of its writer.
#[derive(Debug)]
pub struct ReadPool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl ReadPool {
    /// Opens nothing yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Asks the history, as it is at one moment.
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
        // Ended before the connection is idle: an open transaction would keep the log from being emptied.
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
