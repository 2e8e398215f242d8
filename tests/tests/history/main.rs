//! The history: what was stored stays, whoever kills the writer; what is listed and shown is what was stored; and who may only read
//! the file can read it. Builds come from the recordings, so nothing here needs a toolchain but where it says so.
#![cfg(test)]

mod damaged;
mod harness;
mod killed;
mod locks;
mod reading;
mod shown;
mod stored;
