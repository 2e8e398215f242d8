//! `analyze`: computes a full [`Analysis`] from the bytes of a file.

mod grain;
mod section;
mod symbol;

use std::borrow::Cow;
use std::thread;

use self::grain::{Grains, contents};
use self::section::{buckets, entropies, sections, segments};
use self::symbol::Names;
use crate::analysis::{Analysis, Counts, MemberSize, SCHEMA};
use crate::artifact::{self, Identity};
use crate::attribution::{self, Attributions, FileFacts};
use crate::container::{self, Container, Wrapper};
use crate::error::Error;
use crate::finding::{self, RangeOwner};
use crate::fingerprint::{self, ContentIdentity};
use crate::ledger::{self, Ledger};
use crate::module::{Modules, Sources};
use crate::package::Packages;
use crate::{hashing, hex, property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Symbols with fewer bytes are folded into one row for each package.
    pub min_symbol: u64,
    /// True if the entropy of every window is kept, not only where it is high.
    pub windows: bool,
    /// True if all work is done in the calling thread, for callers that may not start another.
    pub single_threaded: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_symbol: 1024,
            windows: false,
            single_threaded: false,
        }
    }
}

pub fn analyze(bytes: &[u8], options: Options) -> Result<Analysis, Error> {
    let container = container::open(bytes)?;
    thread::scope(|scope| {
        // A thread that fails to start is not an error: its work is done here afterwards.
        let builder = || (!options.single_threaded).then(thread::Builder::new);
        let hashing =
            builder().and_then(|it| it.spawn_scoped(scope, || hashing::sha256(bytes)).ok());
        let sections = builder().and_then(|it| {
            it.spawn_scoped(scope, || hashing::sections(bytes, &container))
                .ok()
        });
        let mut attributed = attribute(bytes, &container);
        let is_go = attributed.attributions.is_go;
        let owners = std::mem::take(&mut attributed.owners);
        let mut analysis = assemble(bytes, &container, attributed, options);
        let (measured, note) = sections
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| hashing::sections(bytes, &container));
        let sha256 = hashing
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| hashing::sha256(bytes));
        analysis.sha256 = hex::encode(&sha256);
        analysis.content.loaded = fingerprint::loaded(&container, &measured);
        entropies(&mut analysis, &measured, options);
        analysis.notes.extend(note);
        analysis.findings = finding::find(bytes, &container, &analysis, &owners, is_go);
        Ok(analysis)
    })
}

struct Attributed<'i> {
    identity: Identity,
    attributions: Attributions<'i>,
    packages: Packages<'i>,
    /// Paths of the packages, in their order.
    names: Vec<String>,
    ledger: Ledger,
    grains: Grains,
    owners: Vec<RangeOwner<'i>>,
}

fn attribute<'i>(bytes: &[u8], container: &'i Container<'i>) -> Attributed<'i> {
    let identity = artifact::of_container(bytes, container);
    let minor = identity.go_version.as_deref().and_then(minor);
    let (mut packages, mut attributions) = (Packages::new(), Attributions::default());
    // The other members of an archive come from C.
    let is_go = identity.is_go() && container.wrapper != Wrapper::Archive;
    for part in &container.parts {
        let file_facts = FileFacts { is_go, minor };
        attribution::gather(part, file_facts, &mut packages, &mut attributions);
    }
    attributions.is_go |= identity.is_go();
    let ledger = ledger::account(bytes, container, &mut attributions, packages.len());
    let names: Vec<_> = packages.iter().map(Cow::into_owned).collect();
    let paths: Vec<_> = names.iter().map(String::as_str).collect();
    let sources = if attributions.is_go {
        Sources::of(&identity, container, minor)
    } else {
        Sources::default()
    };
    let modules = Modules::of(&identity, &paths, &sources);
    let owners = finding::owners(&attributions, &packages, &modules);
    let n_init = symbol::init_functions(&attributions, &ledger, paths.len());
    // Free the attributions: they may take most of the memory, and are not used after this point.
    attributions.list = Vec::new();
    let grains = Grains::of(&modules, &paths, &ledger, &n_init);
    Attributed {
        identity,
        attributions,
        packages,
        names,
        ledger,
        grains,
        owners,
    }
}

/// The minor release: 27 for `go1.27.3` and for `devel go1.27-5c2b5b02c4`.
fn minor(version: &str) -> Option<u32> {
    let version = version.strip_prefix("devel ").unwrap_or(version);
    let rest = version.strip_prefix("go1.")?;
    let digits = rest.split(|char: char| !char.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn assemble(
    bytes: &[u8],
    container: &Container<'_>,
    attributed: Attributed<'_>,
    options: Options,
) -> Analysis {
    let Attributed {
        identity,
        attributions,
        packages,
        names,
        ledger,
        grains,
        owners: _,
    } = attributed;
    let primary = artifact::primary(container);
    let properties = property::of(container, primary, &identity, &attributions, &packages);
    let by_name = Names::of(&attributions, &ledger, &names);
    let outline = by_name.outline();
    let symbols = by_name.rows(attributions.source, &names, options.min_symbol);
    let counts = Counts {
        symbols: attributions.n_symbols as u64,
        functions: attributions.n_functions as u64,
        types: attributions.n_types as u64,
        itabs: attributions.n_itabs as u64,
        packages: grains.packages.len() as u64,
    };
    let sections = sections(container, &ledger);
    let mut notes: Vec<_> = container.notes.clone();
    for part in &container.parts {
        notes.extend(part.image.notes.iter().cloned());
    }
    notes.extend(attributions.notes.iter().cloned());
    Analysis {
        schema: SCHEMA.to_owned(),
        size: bytes.len() as u64,
        sha256: String::new(),
        content: ContentIdentity {
            loaded: String::new(),
            outline,
        },
        properties,
        findings: Vec::new(),
        groups: grains.groups,
        contents: contents(&ledger),
        buckets: buckets(container, &ledger),
        segments: segments(container),
        sections,
        modules: grains.modules,
        packages: grains.packages,
        symbols,
        embeds: attributions.embeds,
        members: container
            .members
            .iter()
            .map(|member| MemberSize {
                name: member.name.clone(),
                bytes: member.file.len() as u64,
            })
            .collect(),
        counts,
        notes,
        identity,
    }
}
