//! Decodes a record of an exec: argument block, environment block, two paths.

use tracer_abi as abi;

use crate::byte_string::ByteString;
use crate::environment;
use crate::event::{Captured, Exec, FileId, Tgid};
use crate::redact::{self, Program};

use super::{DecodeError, Tail, at, process};

pub(super) fn decode(record: &abi::Exec, mut tail: Tail<'_>) -> Result<Exec, DecodeError> {
    let has = |flag: u32| record.flags & flag != 0;
    let argv = tail.take(record.argv_len)?;
    let env = tail.take(record.env_len)?;
    let cwd = tail.take(record.cwd_len)?;
    let exe = tail.take(record.exe_len)?;
    let exe = path(exe, has(abi::Exec::EXE_CUT), has(abi::Exec::EXE_UNREADABLE));
    let argv = block(argv, record.argv_total, has(abi::Exec::ARGV_UNREADABLE));
    let env = block(env, record.env_total, has(abi::Exec::ENV_UNREADABLE));
    Ok(Exec {
        at: at(record.header),
        process: process(record.header),
        parent: Tgid(record.parent),
        file: FileId {
            dev: record.dev,
            ino: record.ino,
            size: record.size,
            ctime_ns: record.ctime_ns,
        },
        argv: arguments(&exe, &argv),
        env: variables(&env),
        exe,
        cwd: path(cwd, has(abi::Exec::CWD_CUT), has(abi::Exec::CWD_UNREADABLE)),
        uid: record.uid,
        cgroup: record.cgroup,
    })
}

fn block(bytes: &[u8], total: u32, is_unreadable: bool) -> Captured<&[u8]> {
    if is_unreadable {
        Captured::Missing
    } else if u32::try_from(bytes.len()).is_ok_and(|len| len >= total) {
        Captured::Whole(bytes)
    } else {
        Captured::Cut {
            kept: bytes,
            total: u64::from(total),
        }
    }
}

/// The strings of a block. Each has a NUL after it, unless the block was cut or the process overwrote it before the copy.
fn strings(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let n = if block.is_empty() { 0 } else { usize::MAX };
    block
        .strip_suffix(b"\0")
        .unwrap_or(block)
        .split(|it| *it == 0)
        .take(n)
}

fn arguments(exe: &Captured<ByteString>, block: &Captured<&[u8]>) -> Captured<Vec<ByteString>> {
    let read = |block: &[u8]| -> Vec<ByteString> { strings(block).map(ByteString::from).collect() };
    let program = |argv: &[ByteString]| {
        let named = argv.first().map(ByteString::as_bytes).unwrap_or_default();
        // A renamed or linked toolchain is still known by one of the two names. If they differ, the line is read as that of an unknown
        // program.
        match exe.get().map(|it| Program::of(it.as_bytes())) {
            Some(program) if program == Program::of(named) => program,
            Some(_) | None => Program::Other,
        }
    };
    match block {
        Captured::Missing => Captured::Missing,
        Captured::Whole(block) => {
            let argv = read(block);
            Captured::Whole(redact::argv(program(&argv), argv))
        }
        Captured::Cut { kept, total } => {
            let mut argv = read(kept);
            if !kept.ends_with(b"\0")
                && let Some(last) = argv.last_mut()
            {
                *last = redact::cut_end(last.as_bytes()).as_ref().into();
            }
            Captured::Cut {
                kept: redact::argv(program(&argv), argv),
                total: *total,
            }
        }
    }
}

fn variables(block: &Captured<&[u8]>) -> Captured<Vec<(ByteString, ByteString)>> {
    match block {
        Captured::Missing => Captured::Missing,
        Captured::Whole(block) => Captured::Whole(allowed(strings(block))),
        // A cut value would be mistaken for a whole one, so it is left out.
        Captured::Cut { kept, total } => {
            let end = kept.iter().rposition(|it| *it == 0).map_or(0, |it| it + 1);
            Captured::Cut {
                kept: allowed(strings(kept.get(..end).unwrap_or_default())),
                total: *total,
            }
        }
    }
}

/// The allow-listed variables, redacted and sorted by name. Of a repeated name the first counts, as with `getenv`.
fn allowed<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Vec<(ByteString, ByteString)> {
    let mut variables: Vec<(ByteString, ByteString)> = strings
        .filter_map(|it| {
            let at = it.iter().position(|it| *it == b'=')?;
            let (name, value) = (it.get(..at)?, it.get(at + 1..)?);
            environment::is_allowed(name).then(|| (name.into(), redact::variable(name, value)))
        })
        .collect();
    // The sort is stable, so that the first of a name stays the first.
    variables.sort_by(|(a, _), (b, _)| a.cmp(b));
    variables.dedup_by(|(later, _), (first, _)| later == first);
    variables
}

/// A path from its components, last to first. Of a cut path only the end is present, without a leading slash.
fn path(components: &[u8], is_cut: bool, is_unreadable: bool) -> Captured<ByteString> {
    if is_unreadable {
        return Captured::Missing;
    }
    let mut names: Vec<&[u8]> = strings(components).collect();
    names.reverse();
    let joined = names.join(&b'/');
    let joined = redact::name(&joined);
    if is_cut {
        // Only a lower bound of the length is known.
        let total = u64::try_from(joined.len())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        return Captured::Cut {
            kept: joined.as_ref().into(),
            total,
        };
    }
    Captured::Whole([&b"/"[..], &joined].concat().into())
}
