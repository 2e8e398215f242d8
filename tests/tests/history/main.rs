//! The history: stored builds survive a killed writer, listed and shown builds equal the stored ones, and read-only users can read
//! the file. Builds come from the recordings. Only tests that name a toolchain need one.
#![cfg(test)]

mod compared;
mod damaged;
mod explained;
mod harness;
mod killed;
mod locks;
mod reading;
mod shown;
mod stored;
