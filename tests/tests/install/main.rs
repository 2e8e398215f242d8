//! `gotrace install` for real, on machines with systemd.
#![cfg(test)]

mod harness;
mod package;
mod runner;
mod service;
