//! Objects that a builder can put in place of an output, or swap while it is opened. gotrace reads no secret, and no build waits.
#![cfg(test)]

mod hanging;
mod irregular;
mod race;
