//! `gotrace analyze` and `gotrace diff` on the output of real toolchains. The results are compared with `go version -m`,
//! `go tool nm`, the file's own size and golden files.
#![cfg(test)]

mod container;
mod embed;
mod golden;
mod harness;
mod identity;
mod mode;
mod target;
