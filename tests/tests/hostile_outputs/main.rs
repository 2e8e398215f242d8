//! Objects that a builder can put in place of an output, or swap while it is opened. gotrace reads no secret and blocks nobody.
#![cfg(test)]

mod odd;
mod race;
mod stuck;
