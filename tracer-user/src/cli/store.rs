//! `gotrace store`: setting up the central history of a fleet.

use std::io::{self, Write as _};

use anyhow::bail;
use clap::Subcommand;

use super::{FINE, say};
use crate::history::{Place, central};

/// Set up the central history of a fleet
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Set up the central history of a fleet in a database that speaks PostgreSQL's protocol.\n\nAn agent makes the tables \
                  by itself if its user may. Where each team has a user of its own, none of them should: then the owner of the \
                  tables makes them, and lets each user in with `SELECT gotrace.admit('USER', 'TENANT')`.",
    before_help = "  gotrace store prepare 'postgres://owner@db.example/history?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem'\n  \
                   gotrace store schema | psql --set ON_ERROR_STOP=1 history"
)]
pub(super) struct Args {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Make the tables, or bring them up to date
    Prepare {
        #[arg(
            value_name = "ADDRESS",
            help = "postgres://USER@HOST/DATABASE; the password is better in PGPASSWORD, or in a file that password_file= names"
        )]
        place: Place,
    },
    /// Print what `prepare` does to an empty database, as SQL
    Schema,
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    match &args.word {
        Word::Prepare { place } => {
            let Place::Central(address) = place else {
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
