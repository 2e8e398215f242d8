//! The inputs of `aya` for loading the object: the types that it searches in the kernel's BTF, and its loader.

use std::thread;

use aya::{Btf, EbpfLoader, Endianness};
use landlock::{AccessFs, Ruleset, RulesetAttr as _, RulesetError};
use tracer_abi::Offsets;

use super::error::{SetupError, kernel};
use super::{btf, hook, offsets};

/// The allocator of hash maps since 6.1.
pub(super) const MAP_ALLOCATOR: &str = "bpf_mem_alloc";

/// Facts about the running kernel, from its BTF.
pub(super) struct KernelTypes {
    pub(super) offsets: Offsets,
    /// The types whose IDs are needed.
    pub(super) btf: Btf,
}

impl KernelTypes {
    pub(super) fn read() -> Result<Self, SetupError> {
        let bytes = btf::read()?;
        let whole = btf::Btf::parse(&bytes).ok_or(SetupError::NoBtf)?;
        let names: Vec<String> = hook::types().chain([MAP_ALLOCATOR.to_owned()]).collect();
        let reduced = whole.reduced(names.iter().map(String::as_str), hook::RENAMEAT);
        let btf = Btf::parse(&reduced, Endianness::default())
            .map_err(|source| kernel("read the kernel's BTF", source))?;
        Ok(Self {
            offsets: offsets::of(&whole)?,
            btf,
        })
    }
}

/// A new loader without the kernel's BTF.
///
/// `EbpfLoader::new` of `aya` 0.14 reads and parses the whole BTF, even if [`EbpfLoader::btf`] replaces it, and ignores a failure of
/// that read. A thread that may open no file therefore creates the loader. Without Landlock the loader is the same, only slower. With
/// the reduced BTF, `gotrace run -- true` uses 0.15 s of CPU instead of 0.21 s. Delete this when `aya` reads BTF on demand.
pub(super) fn new() -> EbpfLoader<'static> {
    let restricted = || {
        let _unrestricted = deny_reads();
        EbpfLoader::new()
    };
    let thread = thread::Builder::new().name("loader".to_owned());
    let loader = thread.spawn(restricted).ok();
    let loader = loader.and_then(|it| it.join().ok());
    loader.unwrap_or_default()
}

/// Denies the calling thread to open files.
fn deny_reads() -> Result<(), RulesetError> {
    let rules = Ruleset::default().handle_access(AccessFs::ReadFile)?;
    rules.create()?.restrict_self()?;
    Ok(())
}
