//! `gotrace install` for real, on machines with systemd.
#![cfg(test)]

mod harness;
mod runner;
mod service;
