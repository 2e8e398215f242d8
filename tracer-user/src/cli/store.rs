//! `gotrace store`: backing up a history, and setting up the central one of a fleet.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use super::builds::Store;
use super::{FINE, say};
use crate::history::{Location, central};
use crate::launch::caller;

/// Back up a history, or set up the central one of a fleet
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Back up the history of this machine, or set up the central history of a fleet in a database that speaks PostgreSQL's \
                  protocol.\n\nAn agent makes the tables \
                  by itself if its user may. Where each team has a user of its own, none of them should: then the owner of the \
                  tables makes them, and lets each user in with `SELECT gotrace.admit('USER', 'TENANT')`.",
    before_help = "  sudo gotrace store backup history-backup.db\n  \
                   gotrace store prepare 'postgres://owner@db.example/history?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem'\n  \
                   gotrace store schema | psql --set ON_ERROR_STOP=1 history"
)]
pub(super) struct Args {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Copy a history into a new file, also while an agent writes it
    #[command(
        long_about = "Copy a history into a new file, also while an agent writes it.\n\nThe copy is of one moment, is checked, and can \
                      be read with `--store FILE`. To restore it, stop the agent, put the copy in the place of the history, remove the \
                      files beside it that end in -wal and -shm, and start the agent.",
        before_help = "  sudo gotrace store backup /backup/gotrace.db\n  gotrace builds --store /backup/gotrace.db"
    )]
    Backup {
        /// The new file; one that is there already is left alone
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        store: Store,
    },
    /// Make the tables, or bring them up to date
    Prepare {
        #[arg(
            value_name = "ADDRESS",
            help = "postgres://USER@HOST/DATABASE; the password is better in PGPASSWORD, or in a file that password_file= names"
        )]
        place: Location,
    },
    /// Print what `prepare` does to an empty database, as SQL
    Schema,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    match &args.word {
        Word::Backup { file, store } => {
            store.store.back_up(file, caller::of_sudo()?.as_ref())?;
            say(format_args!("copied {} to {}", store.store, file.display()));
        }
        Word::Prepare { place } => {
            let Location::Central(address) = place else {
                bail!("only a central history is prepared: its address begins with postgres://");
            };
            central::prepare(address)?;
            say(format_args!("the history {address} is ready"));
        }
        Word::Schema => io::stdout()
            .lock()
            .write_all(central::schema().as_bytes())?,
    }
    Ok(FINE)
}
