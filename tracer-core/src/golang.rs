//! The meaning of command lines, settings and names of Go's tools. Pure functions over bytes; each fact is from a real run.
//!
//! This module does not read processes, files or the time, and never fails: input that it does not understand is left out or reported as
//! unknown.

pub mod build_info;
pub mod c_tool;
pub mod command;
mod flags;
pub mod go_mod;
pub mod goflags;
pub mod output_name;
pub mod quoted;
pub mod response_file;
pub mod settings;
pub mod test_args;
pub mod tool;
pub mod version;
