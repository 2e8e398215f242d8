//! `analyze`: from the bytes of a file to everything this crate can say about it.

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
use crate::claim::{self, Claims, Origin};
use crate::container::{self, Container, Wrapper};
use crate::error::Error;
use crate::finding::{self, Owner};
use crate::fingerprint::{self, ContentIdentity};
use crate::ledger::{self, Ledger};
use crate::module::Modules;
use crate::package::Packages;
use crate::{hex, pass, property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Symbols with fewer bytes are folded into one row for each package.
    pub min_symbol: u64,
    /// Keep the entropy of every window, not only where it is high.
    pub windows: bool,
    /// In the calling thread alone, for who may start no other.
    pub alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_symbol: 1024,
            windows: false,
            alone: false,
        }
    }
}

pub fn analyze(bytes: &[u8], options: Options) -> Result<Analysis, Error> {
    let container = container::open(bytes)?;
    thread::scope(|scope| {
        // A thread that cannot be had is no failure: its work is done here afterwards.
        let beside = || (!options.alone).then(thread::Builder::new);
        let hashing = beside().and_then(|it| it.spawn_scoped(scope, || pass::sha256(bytes)).ok());
        let sections = beside().and_then(|it| {
            it.spawn_scoped(scope, || pass::sections(bytes, &container))
                .ok()
        });
        let mut attributed = attribute(bytes, &container);
        let is_go = attributed.claims.is_go;
        let owners = std::mem::take(&mut attributed.owners);
        let mut analysis = assemble(bytes, &container, attributed, options);
        let (measured, note) = sections
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| pass::sections(bytes, &container));
        let sha256 = hashing
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| pass::sha256(bytes));
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
    claims: Claims<'i>,
    packages: Packages<'i>,
    /// Paths of the packages, in their order.
    names: Vec<String>,
    ledger: Ledger,
    grains: Grains,
    owners: Vec<Owner<'i>>,
}

fn attribute<'i>(bytes: &[u8], container: &'i Container<'i>) -> Attributed<'i> {
    let identity = artifact::of_container(bytes, container);
    let minor = identity.go_version.as_deref().and_then(minor);
    let (mut packages, mut claims) = (Packages::new(), Claims::default());
    // In an archive the other members are C's.
    let is_go = identity.is_go() && container.wrapper != Wrapper::Archive;
    for part in &container.parts {
        let origin = Origin { is_go, minor };
        claim::gather(part, origin, &mut packages, &mut claims);
    }
    claims.is_go |= identity.is_go();
    let ledger = ledger::account(bytes, container, &mut claims, packages.len());
    let names: Vec<_> = packages.iter().map(Cow::into_owned).collect();
    let paths: Vec<_> = names.iter().map(String::as_str).collect();
    let modules = Modules::of(&identity, &paths);
    let owners = finding::owners(&claims, &packages, &modules);
    // The claims may be most of the memory used, and nobody needs them any more.
    claims.list = Vec::new();
    let grains = Grains::of(&modules, &paths, &ledger);
    Attributed {
        identity,
        claims,
        packages,
        names,
        ledger,
        grains,
        owners,
    }
}

/// 27 of `go1.27.3` and of `devel go1.27-5c2b5b02c4`.
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
        claims,
        packages,
        names,
        ledger,
        grains,
        owners: _,
    } = attributed;
    let primary = artifact::primary(container);
    let properties = property::of(container, primary, &identity, &claims, &packages);
    let by_name = Names::of(&claims, &ledger, &names);
    let outline = by_name.outline();
    let symbols = by_name.rows(claims.source, &names, options.min_symbol);
    let counts = Counts {
        symbols: claims.n_symbols as u64,
        functions: claims.n_functions as u64,
        types: claims.n_types as u64,
        itabs: claims.n_itabs as u64,
        packages: grains.packages.len() as u64,
    };
    let sections = sections(container, &ledger);
    let mut notes: Vec<_> = container.notes.clone();
    for part in &container.parts {
        notes.extend(part.image.notes.iter().cloned());
    }
    notes.extend(claims.notes.iter().cloned());
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
        embeds: claims.embeds,
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
