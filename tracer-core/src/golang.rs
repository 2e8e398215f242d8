//! What Go's tools mean by their command lines, settings and names. Pure functions over bytes; each fact is from a real run.
//!
//! Nothing here looks at a process, a file or the time, and nothing fails: what cannot be understood is left out or said
//! to be unknown.

pub mod build_info;
pub mod c_tool;
pub mod command;
mod flags;
pub mod go_mod;
pub mod goflags;
pub mod output_name;
pub mod response_file;
pub mod settings;
pub mod tool;
pub mod version;
