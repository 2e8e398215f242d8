//! `ar` archives: the output of `-buildmode=c-archive`, and Go's package archives (`_pkg_.a`).
//!
//! This is not `object`'s reader, which would scan the long-name table of a hostile archive once per member.

use super::{Container, HeaderRanges, Member, Part, Wrapper, image, lossy};
use crate::limit;
use crate::reader::{Endian, Reader, index};

const HEADER: usize = 60;

pub(super) fn open(bytes: &[u8]) -> Container<'_> {
    let reader = Reader::new(bytes, Endian::Little);
    let mut headers = HeaderRanges::new(bytes.len());
    headers.add("archive magic", 0, 8);
    let (mut members, mut parts, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut long_names: &[u8] = &[];
    let mut at = 8usize;
    while let Some(header) = reader.slice(at, HEADER) {
        if members.len() >= limit::MEMBERS {
            notes.push(format!(
                "more than {} members, the rest is not read",
                limit::MEMBERS
            ));
            break;
        }
        if header.get(58..60) != Some(b"`\n") {
            notes.push("a member's header is damaged, the rest is not read".to_owned());
            break;
        }
        headers.add("member header", at as u64, HEADER as u64);
        let body = at + HEADER;
        let Some(len) = header.get(48..58).and_then(decimal).and_then(index) else {
            notes.push("a member's size is not a number, the rest is not read".to_owned());
            break;
        };
        let end = body.saturating_add(len).min(bytes.len());
        if body.saturating_add(len) > bytes.len() {
            notes.push("the last member is cut".to_owned());
        }
        let raw_name = header.get(..16).unwrap_or_default().trim_ascii_end();
        let mut start = body;
        let name = if let Some(len) = raw_name
            .strip_prefix(b"#1/")
            .and_then(decimal)
            .and_then(index)
        {
            // BSD: the name is the first bytes of the member.
            start = body.saturating_add(len).min(end);
            headers.add("member name", body as u64, (start - body) as u64);
            let name = reader
                .cstr(body, (start - body).min(limit::NAME))
                .unwrap_or_default();
            lossy(name)
        } else if let Some(offset) = raw_name
            .strip_prefix(b"/")
            .and_then(decimal)
            .and_then(index)
        {
            let rest = long_names.get(offset..).unwrap_or_default();
            let rest = rest.get(..limit::NAME).unwrap_or(rest);
            let end = rest
                .iter()
                .position(|&byte| byte == b'\n' || byte == 0)
                .unwrap_or(rest.len());
            lossy(rest.get(..end).unwrap_or_default().trim_ascii_end())
                .trim_end_matches('/')
                .to_owned()
        } else {
            let name = lossy(raw_name);
            if matches!(name.as_str(), "/" | "//") {
                name
            } else {
                name.trim_end_matches('/').to_owned()
            }
        };
        let content = bytes.get(start..end).unwrap_or_default();
        if name == "//" {
            long_names = content;
        }
        if parts.len() < limit::PARTS {
            match image(content) {
                Ok(Some(image)) => parts.push(Part {
                    label: name.clone(),
                    offset: start,
                    image,
                }),
                Ok(None) => {}
                Err(error) => notes.push(format!("member {name}: {error}")),
            }
        } else if parts.len() == limit::PARTS {
            notes.push(format!(
                "more than {} members are objects, only their sizes are counted",
                limit::PARTS
            ));
            break;
        }
        members.push(Member {
            name,
            file: start..end,
        });
        // Members begin on even offsets.
        at = end + (end & 1);
    }
    Container {
        wrapper: Wrapper::Archive,
        parts,
        members,
        headers: headers.done(),
        notes,
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits.trim_ascii()).ok()?.parse().ok()
}
