//! Real runs of `gotrace install`, on machines with systemd.
#![cfg(test)]

mod harness;
mod package;
mod runner;
mod service;
