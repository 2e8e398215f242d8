//! Rows of the container's own units: buckets, segments and sections.

use super::Options;
use crate::analysis::{Analysis, Bucket, FrameKind, SectionSize, SegmentSize};
use crate::attribution::Content;
use crate::container::Container;
use crate::ledger::{Frame, Ledger};
use crate::{entropy, hashing, hex};

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

pub(super) fn buckets(container: &Container<'_>, ledger: &Ledger) -> Vec<Bucket> {
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

pub(super) fn segments(container: &Container<'_>) -> Vec<SegmentSize> {
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

pub(super) fn sections(container: &Container<'_>, ledger: &Ledger) -> Vec<SectionSize> {
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

pub(super) fn entropies(analysis: &mut Analysis, measured: &hashing::Sections, options: Options) {
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
