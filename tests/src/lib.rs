//! Shared by the tests: real toolchains, real builds.
