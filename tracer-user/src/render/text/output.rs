//! The outputs of a build.

use tracer_core::byte_string::ByteString;
use tracer_core::event::Stamp;
use tracer_core::model::{Build, Installed, Output};

use super::word;
use crate::render::style::{Line, Page, Paint, Table};
use crate::render::units;

const OUTPUTS: usize = 6;

/// Writes the outputs of the build, the largest first. Up-to-date ones are counted, unless the build wrote none.
pub(super) fn outputs(page: &mut Page<'_>, build: &Build) {
    let mut shown = by_size(build);
    let n_all = shown.len();
    if shown.iter().any(|it| is_written(it)) {
        shown.retain(|it| is_written(it));
    }
    let up_to_date = n_all - shown.len();
    let mut table = Table::of_paths();
    for output in shown.iter().take(OUTPUTS) {
        let path = Line::painted(Paint::Bold, &shown_path(&output.path, build));
        table.row(vec![path, size(output), about(output)]);
    }
    table.put(page, &word::label("Output"), 16);
    let mut rest = Vec::new();
    let more = shown.len().saturating_sub(OUTPUTS);
    rest.extend((more > 0).then(|| format!("{more} more")));
    rest.extend((up_to_date > 0).then(|| format!("{up_to_date} up to date")));
    if !rest.is_empty() {
        let rest = format!("and {}", rest.join(", "));
        page.line(word::label("").then_painted(Paint::Dim, &rest));
    }
}

/// The outputs, the largest first; equal ones in their order.
pub(super) fn by_size(build: &Build) -> Vec<&Output> {
    let mut outputs: Vec<&Output> = build.outputs.iter().collect();
    outputs.sort_by_key(|it| std::cmp::Reverse(it.artifact.as_ref().map(|it| it.size)));
    outputs
}

fn is_written(output: &Output) -> bool {
    match output.how {
        Installed::Renamed
        | Installed::Copied
        | Installed::Direct
        | Installed::Temporary
        | Installed::Announced => true,
        Installed::UpToDate | Installed::FromCache => false,
    }
}

fn size(output: &Output) -> Line {
    Line::plain(
        &output
            .artifact
            .as_ref()
            .map_or_else(|| "-".to_owned(), |it| units::size(it.size)),
    )
}

fn about(output: &Output) -> Line {
    let mut words: Vec<String> = Vec::new();
    if let Some(artifact) = &output.artifact {
        words.extend(artifact.go_version.clone());
        words.extend(artifact.main_package.clone());
        words.extend(artifact.stamp.as_ref().and_then(commit));
    }
    words.extend(Some(word::installed(output.how).to_owned()).filter(|it| !it.is_empty()));
    words.extend(output.unread.as_ref().map(|why| format!("not read: {why}")));
    let unanalysed = output
        .artifact
        .as_ref()
        .and_then(|it| it.unanalysed.as_ref());
    words.extend(unanalysed.map(|why| format!("not analysed: {why}")));
    Line::plain(&words.join("  "))
}

/// The stamped commit, shortened, with Go's suffix for uncommitted changes.
fn commit(stamp: &Stamp) -> Option<String> {
    let vcs = stamp.vcs.as_ref()?;
    let short: String = vcs.revision.as_ref()?.chars().take(12).collect();
    let changes = match vcs.modified {
        Some(true) => "+dirty",
        Some(false) | None => "",
    };
    Some(format!("commit {short}{changes}"))
}

/// The path, relative to the build's directory if it is below.
pub(super) fn shown_path(path: &ByteString, build: &Build) -> String {
    let path = path.to_str();
    let below = build
        .dir
        .as_ref()
        .and_then(|dir| path.strip_prefix(&*dir.to_str())?.strip_prefix('/'));
    below.map_or_else(|| path.to_string(), ToOwned::to_owned)
}
