//! The central history on a real `PostgreSQL`: it gives the same results as the file, and loses or duplicates nothing when a side
//! is killed. No tenant sees another, and both sides must prove their identity. `psql` checks the results. Builds come from the
//! recordings.
#![cfg(test)]

#[path = "../history/harness.rs"]
mod harness;

mod agent;
mod fleet;
mod outage;
mod round_trip;
mod server;
mod spool;
mod tenants;
mod trust;
