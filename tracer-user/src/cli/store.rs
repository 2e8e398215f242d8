//! `gotrace store`: backs up a history, or sets up the central history of a fleet.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use super::builds::StoreArgs;
use super::{FINE, log};
use crate::history::{Location, central};
use crate::launch::caller;

/// Back up a history, or set up the central one of a fleet
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Back up the history of this machine, or set up the central history of a fleet in a database with the PostgreSQL \
                  protocol.\n\nAn agent creates the tables itself if its database user has the right to do so. If each team has a database user of \
                  its own, no agent should have this right. Then the owner of the tables creates them with `gotrace store prepare`, and admits \
                  each user with `SELECT gotrace.admit('USER', 'TENANT')`.",
    before_help = "Examples:\n  sudo gotrace store backup history-backup.db\n  \
                   gotrace store prepare 'postgres://owner@db.example/history?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem'\n  \
                   gotrace store schema | psql --set ON_ERROR_STOP=1 history"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Copy a history into a new file, even while an agent writes it
    #[command(
        long_about = "Copy a history into a new file, even while an agent writes it.\n\nThe copy is consistent and checked, and `--store FILE` \
                      reads it. To restore it: stop the agent, replace the history with the copy, remove the files beside the history that end in \
                      -wal and -shm, and start the agent.",
        before_help = "Examples:\n  sudo gotrace store backup /backup/gotrace.db\n  gotrace builds --store /backup/gotrace.db"
    )]
    Backup {
        /// New file; an existing file is not overwritten
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Create or upgrade the tables
    #[command(
        before_help = "Examples:\n  gotrace store prepare 'postgres://owner@db.example/history?sslmode=verify-full'"
    )]
    Prepare {
        #[arg(
            value_name = "ADDRESS",
            help = "postgres://USER@HOST/DATABASE; pass the password in PGPASSWORD, or in a file named by password_file="
        )]
        place: Location,
    },
    /// Print the SQL statements that `prepare` runs on an empty database
    #[command(
        before_help = "Examples:\n  gotrace store schema | psql --set ON_ERROR_STOP=1 history"
    )]
    Schema,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    match &args.command {
        StoreCommand::Backup { file, store } => {
            let location = store.location()?;
            location.back_up(file, caller::of_sudo()?.as_ref())?;
            log(format_args!("copied {location} to {}", file.display()));
        }
        StoreCommand::Prepare { place } => {
            let Location::Central(address) = place else {
                bail!(
                    "cannot prepare {place}: only a central history needs this; its address begins with postgres://"
                );
            };
            central::prepare(address)?;
            log(format_args!("prepared the history {address}"));
        }
        StoreCommand::Schema => io::stdout()
            .lock()
            .write_all(central::schema().as_bytes())?,
    }
    Ok(FINE)
}
