//! The head of an analysis: the kind of the file, its linking, and warnings.

use tracer_binary::analysis::{Analysis, FindingKind};
use tracer_binary::{Dwarf, Linking, MethodElimination, Relro};

use super::style::{Line, Page, Paint};
use super::units;

/// Width of a label.
const LABEL: usize = 14;
/// Number of hexadecimal digits of a shown hash.
const HASH: usize = 16;
/// Build settings that are shown for every file.
const SETTINGS: [&str; 8] = [
    "-tags",
    "-ldflags",
    "-gcflags",
    "-asmflags",
    "CGO_ENABLED",
    "GOAMD64",
    "vcs.revision",
    "vcs.modified",
];

pub(super) fn head(name: &str, analysis: &Analysis, page: &mut Page<'_>) {
    let identity = &analysis.identity;
    let dot = page.style().dot();
    let mut line = Line::painted(Paint::Bold, name)
        .then("  ")
        .then_painted(Paint::Bold, &units::size(analysis.size))
        .then("  ")
        .then(identity.kind.name());
    if let (Some(os), Some(arch)) = (&identity.goos, &identity.goarch) {
        line = line.then(&format!(" {os}/{arch}"));
    } else if let Some(arch) = &identity.goarch {
        line = line.then(&format!(" {arch}"));
    }
    if let Some(version) = &identity.go_version {
        line = line.then("  ").then(version);
    }
    page.line(line);
    let mut about = |label: &str, words: &[String]| {
        let head = Line::default()
            .then("  ")
            .then_painted(Paint::Dim, label)
            .pad_to(LABEL);
        wrapped(page, &head, words, dot);
    };
    let one = |word: Option<&String>| word.cloned().into_iter().collect::<Vec<_>>();
    about("package", &one(identity.path.as_ref()));
    if let Some(main) = &identity.main {
        let deps = units::counted(identity.deps.len() as u64, "dependency", "dependencies");
        about("module", &[format!("{} {}", main.path, main.version), deps]);
    }
    about("linked", &properties(analysis));
    let settings = identity
        .settings
        .iter()
        .filter(|it| SETTINGS.contains(&it.key.as_str()) && !it.value.is_empty());
    let settings: Vec<_> = settings
        .map(|it| format!("{}={}", it.key, it.value))
        .collect();
    about("built with", &settings);
    let cut = |hash: &str| hash.get(..HASH).unwrap_or(hash).to_owned();
    let mut hashes = vec![
        format!("sha256 {}", cut(&analysis.sha256)),
        format!("content {}", cut(&analysis.content.loaded)),
    ];
    if let Some(id) = &identity.build_id {
        hashes.push(format!("build id {}/{}", cut(&id.action), cut(&id.content)));
    }
    about("identity", &hashes);
    let counts = &analysis.counts;
    about(
        "has",
        &[
            units::counted(counts.packages, "package", "packages"),
            units::counted(counts.functions, "function", "functions"),
            units::counted(counts.types, "type", "types"),
            units::counted(counts.symbols, "symbol", "symbols"),
        ],
    );
}

fn properties(analysis: &Analysis) -> Vec<String> {
    let it = &analysis.properties;
    let mut words: Vec<String> = Vec::new();
    let mut say = |when: bool, word: &str| {
        if when {
            words.push(word.to_owned());
        }
    };
    if let Some(mode) = &it.build_mode {
        say(true, mode);
    }
    match it.linking {
        Linking::Static => say(true, "static"),
        Linking::Dynamic => say(
            true,
            &format!(
                "dynamic ({})",
                units::counted(it.needed.len() as u64, "library", "libraries")
            ),
        ),
        Linking::Unlinked => {}
    }
    say(
        it.position_independent && it.build_mode.as_deref() != Some("pie"),
        "position independent",
    );
    say(it.cgo, "C code");
    match it.relro {
        Some(Relro::Full) => say(true, "full RELRO"),
        Some(Relro::Partial) => say(true, "partial RELRO"),
        Some(Relro::None) | None => {}
    }
    say(it.no_execute == Some(false), "EXECUTABLE STACK");
    say(it.stripped, "stripped");
    match it.dwarf {
        Dwarf::None => say(true, "no DWARF"),
        Dwarf::Plain => say(true, "DWARF"),
        Dwarf::Compressed => say(true, "DWARF, compressed"),
    }
    say(it.trimpath, "trimpath");
    say(it.race, "race");
    say(it.msan, "msan");
    say(it.asan, "asan");
    say(it.cover, "cover");
    say(it.is_test, "test");
    if it.method_elimination == Some(MethodElimination::Off) {
        let by = if it.reflect_uses.is_empty() {
            String::new()
        } else {
            format!(" ({})", it.reflect_uses.join(", "))
        };
        say(true, &format!("all methods kept{by}"));
    }
    words
}

pub(super) fn findings(analysis: &Analysis, page: &mut Page<'_>) {
    page.gap();
    let bullet = page.style().bullet();
    let mut say = |paint: Paint, text: &str| {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        wrapped(page, &Line::painted(paint, bullet).then(" "), &words, " ");
    };
    for finding in &analysis.findings {
        let paint = match finding.kind {
            FindingKind::Packed | FindingKind::Obfuscated => Paint::Bad,
            FindingKind::Dense
            | FindingKind::CompressedEmbed
            | FindingKind::Overlay
            | FindingKind::NotGo => Paint::Warn,
        };
        say(paint, &finding.text);
    }
    for note in &analysis.notes {
        say(Paint::Warn, &format!("incomplete: {note}"));
    }
}

/// Adds words after a head, wrapped below it.
fn wrapped(page: &mut Page<'_>, head: &Line, words: &[String], between: &str) {
    let columns = page.style().columns();
    let mut line = head.clone();
    let mut is_first = true;
    for word in words {
        let next = if is_first {
            Line::plain(word)
        } else {
            Line::plain(between).then(word)
        };
        if !is_first && line.width() + next.width() > columns {
            page.line(line);
            line = Line::default().pad_to(head.width()).then(word);
        } else {
            line = line.then_line(next);
        }
        is_first = false;
    }
    if !is_first {
        page.line(line);
    }
}
