//! `analyze`: from the bytes of a file to everything this crate can say about it.

use std::collections::BTreeMap;
use std::thread;

use crate::analysis::{
    Analysis, Bucket, ContentSize, Counts, Fold, FrameKind, GroupSize, MemberSize, ModuleSize,
    PackageSize, SCHEMA, SectionSize, SegmentSize, SymbolSize, Symbols,
};
use crate::artifact::{self, Identity};
use crate::claim::{self, Claims, Content};
use crate::container::{self, Container};
use crate::entropy;
use crate::error::Error;
use crate::fingerprint::{self, ContentIdentity};
use crate::ledger::{self, ByContent, Frame, Ledger};
use crate::module::{Group, Modules};
use crate::package::{PackageId, Packages};
use crate::{finding, hex, pass, property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Symbols with fewer bytes are folded into one row for each package.
    pub min_symbol: u64,
    /// Keep the entropy of every window, not only where it is high.
    pub windows: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_symbol: 1024,
            windows: false,
        }
    }
}

pub fn analyze(bytes: &[u8], options: Options) -> Result<Analysis, Error> {
    let container = container::open(bytes)?;
    thread::scope(|scope| {
        // A thread that cannot be had is no failure: its work is done here afterwards.
        let hash = thread::Builder::new()
            .spawn_scoped(scope, || pass::sha256(bytes))
            .ok();
        let sections = thread::Builder::new()
            .spawn_scoped(scope, || pass::sections(bytes, &container))
            .ok();
        let attributed = attribute(bytes, &container);
        let (measured, note) = sections
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| pass::sections(bytes, &container));
        let sha256 = hash
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| pass::sha256(bytes));
        let mut analysis = assemble(bytes, &container, attributed, options);
        analysis.sha256 = hex::encode(&sha256);
        entropies(&mut analysis, &measured, options);
        analysis.notes.extend(note);
        analysis.findings = finding::find(bytes, &container, &analysis);
        Ok(analysis)
    })
}

struct Attributed<'i> {
    identity: Identity,
    claims: Claims<'i>,
    packages: Packages<'i>,
    ledger: Ledger,
}

fn attribute<'i>(bytes: &[u8], container: &'i Container<'i>) -> Attributed<'i> {
    let identity = artifact::of_container(bytes, container);
    let minor = identity.go_version.as_deref().and_then(minor);
    let (mut packages, mut claims) = (Packages::default(), Claims::default());
    for part in &container.parts {
        claim::gather(part, minor, &mut packages, &mut claims);
    }
    let ledger = ledger::account(bytes, container, &mut claims, packages.len());
    // The claims may be most of the memory used, and nobody needs them any more.
    claims.list = Vec::new();
    Attributed {
        identity,
        claims,
        packages,
        ledger,
    }
}

/// 27 of `go1.27.3`.
fn minor(version: &str) -> Option<u32> {
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
        ledger,
    } = attributed;
    let primary = artifact::primary(container);
    let properties = property::of(container, primary, &identity, &claims, &packages);
    let names: Vec<_> = packages.iter().map(std::borrow::Cow::into_owned).collect();
    let grains = Grains::of(&identity, &names, &ledger);
    let symbols = symbols(&claims, &ledger, &names, options.min_symbol);
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
            loaded: fingerprint::loaded(container),
            outline: fingerprint::outline(&claims, &ledger),
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

/// Packages, modules and groups: the same bytes at three grains.
struct Grains {
    packages: Vec<PackageSize>,
    modules: Vec<ModuleSize>,
    groups: Vec<GroupSize>,
}

impl Grains {
    fn of(identity: &Identity, names: &[String], ledger: &Ledger) -> Self {
        let homes = Modules::of(identity);
        // Two mangled names may be one path, as types say it plainly and symbols do not.
        let mut by_path: BTreeMap<&str, ByContent> = BTreeMap::new();
        for (name, bytes) in names.iter().zip(&ledger.packages) {
            let total = by_path.entry(name).or_default();
            for (sum, bytes) in total.iter_mut().zip(bytes) {
                *sum += bytes;
            }
        }
        let mut packages = Vec::new();
        let mut modules: BTreeMap<(Group, &str), ModuleSize> = BTreeMap::new();
        let mut groups: BTreeMap<Group, GroupSize> = BTreeMap::new();
        for (path, bytes) in &by_path {
            let total: u64 = bytes.iter().sum();
            if total == 0 {
                continue;
            }
            let home = homes.home(path);
            let module = modules
                .entry((home.group, home.module))
                .or_insert_with(|| ModuleSize {
                    path: home.module.to_owned(),
                    version: home.version.to_owned(),
                    group: home.group,
                    bytes: 0,
                    packages: 0,
                    is_guess: home.is_guess,
                });
            module.bytes += total;
            module.packages += 1;
            let group = group(&mut groups, home.group);
            group.bytes += total;
            group.packages += 1;
            let contents = Content::ALL
                .into_iter()
                .zip(bytes.iter().copied())
                .filter(|(_, bytes)| *bytes > 0);
            packages.push(PackageSize {
                path: (*path).to_owned(),
                module: home.module.to_owned(),
                group: home.group,
                bytes: total,
                contents: contents.collect(),
            });
        }
        for (content, bytes) in Content::ALL.into_iter().zip(ledger.nobody) {
            if bytes > 0 {
                group(&mut groups, group_of(content)).bytes += bytes;
            }
        }
        packages.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        let mut modules: Vec<_> = modules.into_values().collect();
        modules.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.bytes), group.group));
        Self {
            packages,
            modules,
            groups,
        }
    }
}

fn group(groups: &mut BTreeMap<Group, GroupSize>, group: Group) -> &mut GroupSize {
    groups.entry(group).or_insert(GroupSize {
        group,
        bytes: 0,
        packages: 0,
    })
}

/// Where bytes go that belong to no package.
fn group_of(content: Content) -> Group {
    match content {
        Content::CCode => Group::Cgo,
        Content::Types | Content::Itabs | Content::FunctionTable | Content::BuildInfo => {
            Group::RuntimeMetadata
        }
        Content::Strings => Group::Strings,
        Content::Debug => Group::Debug,
        Content::SymbolTable => Group::Symbols,
        Content::Linking | Content::Note | Content::Header | Content::Padding => Group::Structure,
        Content::Member => Group::Members,
        Content::Code
        | Content::Data
        | Content::Embed
        | Content::Overlay
        | Content::Unattributed
        | Content::Outside => Group::Unattributed,
    }
}

fn contents(ledger: &Ledger) -> Vec<ContentSize> {
    let mut contents: Vec<_> = Content::ALL
        .into_iter()
        .zip(ledger.nobody)
        .enumerate()
        .map(|(number, (content, nobody))| {
            let in_packages: u64 = ledger
                .packages
                .iter()
                .filter_map(|bytes| bytes.get(number))
                .sum();
            ContentSize {
                content,
                bytes: nobody + in_packages,
                in_packages,
            }
        })
        .filter(|size| size.bytes > 0)
        .collect();
    contents.sort_by_key(|size| (std::cmp::Reverse(size.bytes), size.content));
    contents
}

/// Section names of all parts, in the ledger's numbering.
fn section_names(container: &Container<'_>) -> Vec<String> {
    let name = |label: &str, name: &str| {
        if label.is_empty() {
            name.to_owned()
        } else {
            format!("{label}:{name}")
        }
    };
    let parts = container.parts.iter();
    parts
        .flat_map(|part| {
            part.image
                .sections
                .iter()
                .map(move |section| name(&part.label, &section.name))
        })
        .collect()
}

fn buckets(container: &Container<'_>, ledger: &Ledger) -> Vec<Bucket> {
    let names = section_names(container);
    let at = |number: u32| crate::reader::index(number.into());
    let rows = ledger.buckets.iter().map(|(&(frame, content), &bytes)| {
        let (frame, name) = match frame {
            Frame::Header(name) => (FrameKind::Header, name.to_owned()),
            Frame::Section(number) => (
                FrameKind::Section,
                at(number)
                    .and_then(|at| names.get(at))
                    .cloned()
                    .unwrap_or_default(),
            ),
            Frame::Member(number) => {
                let member = at(number).and_then(|at| container.members.get(at));
                (
                    FrameKind::Member,
                    member.map(|member| member.name.clone()).unwrap_or_default(),
                )
            }
            Frame::None => (FrameKind::None, String::new()),
        };
        Bucket {
            frame,
            name,
            content,
            bytes,
        }
    });
    rows.collect()
}

fn segments(container: &Container<'_>) -> Vec<SegmentSize> {
    let segments = container
        .parts
        .iter()
        .flat_map(|part| part.image.segments.iter().map(move |it| (part, it)));
    segments
        .map(|(part, segment)| {
            let flags = segment.flags;
            let letter = |is_set, letter| if is_set { letter } else { '-' };
            SegmentSize {
                name: if part.label.is_empty() {
                    segment.name.to_string()
                } else {
                    format!("{}:{}", part.label, segment.name)
                },
                address: segment.address,
                disk: segment.file.len() as u64,
                memory: segment.memory,
                flags: [
                    letter(flags.read, 'r'),
                    letter(flags.write, 'w'),
                    letter(flags.execute, 'x'),
                ]
                .iter()
                .collect(),
            }
        })
        .collect()
}

fn sections(container: &Container<'_>, ledger: &Ledger) -> Vec<SectionSize> {
    let names = section_names(container);
    let sections = container
        .parts
        .iter()
        .flat_map(|part| part.image.sections.iter());
    let mut rows = Vec::new();
    for ((number, section), name) in (0u32..).zip(sections).zip(names) {
        let (mut attributed, mut unattributed, mut padding) = (0, 0, 0);
        let frame = Frame::Section(number);
        for ((_, content), bytes) in ledger
            .buckets
            .range((frame, Content::Code)..=(frame, Content::Outside))
        {
            if *content == Content::Unattributed {
                unattributed += bytes;
            } else if *content == Content::Padding {
                padding += bytes;
            } else {
                attributed += bytes;
            }
        }
        rows.push(SectionSize {
            name,
            class: section.class,
            address: section.address,
            disk: section.file.len() as u64,
            memory: section.memory,
            compression: section.compression,
            attributed,
            unattributed,
            padding,
            entropy: None,
            dense: Vec::new(),
            n_dense: 0,
            windows: Vec::new(),
            blake3: None,
        });
    }
    rows
}

fn entropies(analysis: &mut Analysis, measured: &pass::Sections, options: Options) {
    for (section, measured) in analysis.sections.iter_mut().zip(measured) {
        let Some(measured) = measured else { continue };
        section.entropy = Some(entropy::rounded(entropy::of_histogram(
            &measured.profile.histogram,
        )));
        let (dense, n_dense) = entropy::dense_runs(&measured.profile, section.disk);
        section.dense = dense;
        section.n_dense = n_dense as u64;
        section.blake3 = Some(hex::encode(&measured.blake3));
        if options.windows {
            section.windows.clone_from(&measured.profile.windows);
        }
    }
}

/// Symbols with bytes in the file; names that several share are one row.
fn symbols(claims: &Claims<'_>, ledger: &Ledger, packages: &[String], min_size: u64) -> Symbols {
    let mut rows: Vec<_> = claims
        .names
        .iter()
        .zip(&ledger.names)
        .filter(|(_, bytes)| **bytes > 0)
        .map(|(named, bytes)| (named.package, named.name, named.content, *bytes, 1u64))
        .collect();
    rows.sort_unstable();
    rows.dedup_by(|next, kept| {
        let same = (next.0, next.1, next.2) == (kept.0, kept.1, kept.2);
        if same {
            kept.3 += next.3;
            kept.4 += next.4;
        }
        same
    });
    let path = |id: PackageId| {
        crate::reader::index(id.0.into())
            .and_then(|at| packages.get(at))
            .cloned()
            .unwrap_or_default()
    };
    let mut symbols = Symbols {
        source: claims.source,
        count: rows.iter().map(|row| row.4).sum(),
        bytes: rows.iter().map(|row| row.3).sum(),
        min_size,
        ..Symbols::default()
    };
    let mut folded: BTreeMap<PackageId, (u64, u64)> = BTreeMap::new();
    for (package, name, content, bytes, count) in rows {
        if bytes < min_size {
            let fold = folded.entry(package).or_default();
            fold.0 += count;
            fold.1 += bytes;
        } else {
            let name = String::from_utf8_lossy(name).into_owned();
            symbols.list.push(SymbolSize {
                name,
                package: path(package),
                content,
                bytes,
                count,
            });
        }
    }
    symbols.list.sort_by(|a, b| {
        b.bytes
            .cmp(&a.bytes)
            .then_with(|| (&a.package, &a.name).cmp(&(&b.package, &b.name)))
    });
    symbols.folded = folded
        .into_iter()
        .map(|(package, (count, bytes))| Fold {
            package: path(package),
            count,
            bytes,
        })
        .collect();
    symbols.folded.sort_by(|a, b| a.package.cmp(&b.package));
    symbols
}
