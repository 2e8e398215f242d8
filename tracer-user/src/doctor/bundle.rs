//! The files of a bug report: what gotrace, the kernel, the agent and the service report about themselves, without secrets.
//!
//! Each source has limits of time and size, and its failure is a text in the bundle. The values of the configuration are those that
//! `gotrace config effective` prints, and the core's rules redact all other text. The bundle contains no build and no environment.

mod archive;
mod program;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tracer_core::redact;

pub use self::archive::Bundle;
use super::Examination;
use crate::agent::Config;
use crate::agent::local::{LocalAgent, Page};
use crate::config::{self, EffectiveValue, File, Layer, effective};
use crate::history::{date, rfc3339};
use crate::render::{Layout, Style, write_document};

/// The file of the configuration, in which each value is redacted alone.
const CONFIG: &str = "config.txt";
/// Columns of doctor's output.
const WIDTH: usize = 120;
/// Lines of the journal.
const JOURNAL_LINES: &str = "--lines=500";
/// Maximum size of one file of the bundle.
const LENGTH: usize = 4 << 20;
/// Time limit of each page and each program.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beginnings of the kernel's options that matter to gotrace.
const OPTIONS: &[&str] = &[
    "CONFIG_BPF",
    "CONFIG_CGROUPS",
    "CONFIG_DEBUG_INFO",
    "CONFIG_FPROBE",
    "CONFIG_FTRACE",
    "CONFIG_FUNCTION_TRACER",
    "CONFIG_HAVE_EBPF_JIT",
    "CONFIG_IKCONFIG",
    "CONFIG_KPROBE",
    "CONFIG_LSM",
    "CONFIG_PERF_EVENTS",
    "CONFIG_PREEMPT",
    "CONFIG_SECCOMP",
    "CONFIG_SECURITY",
    "CONFIG_UPROBE",
];

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    pub name: &'static str,
    /// A description for the user who reads the bundle before sending it.
    pub content: &'static str,
    pub text: String,
}

/// Collects all files. `version` is the output of `gotrace --version`, and `file` the configuration.
pub fn collect(
    examination: &Examination,
    version: String,
    file: Result<File, config::Error>,
) -> Vec<BundleFile> {
    let values = file.and_then(|file| {
        let values = effective(Layer::default(), &file, &|_| None)?;
        Ok((values, Config::of(Layer::of(&file)?)))
    });
    let (values, config) = match values {
        Ok((values, config)) => (config_text(&values), config),
        Err(error) => {
            let error = format!("{:#}\n", anyhow::Error::from(error));
            (error, Config::of(Layer::default()))
        }
    };
    let agent = LocalAgent::of(&config);
    let page = |path| page(agent.as_ref(), path);
    let files = [
        ("version.txt", "version of gotrace", version),
        (
            "doctor.txt",
            "the output of gotrace doctor",
            text(examination),
        ),
        ("doctor.json", "the same for programs", json(examination)),
        (CONFIG, "the configuration without secrets", values),
        (
            "kernel.txt",
            "release, BTF and options of the kernel",
            kernel(),
        ),
        (
            "os-release.txt",
            "the distribution",
            read("/etc/os-release"),
        ),
        ("ready.txt", "the agent's page /-/ready", page("/-/ready")),
        (
            "metrics.txt",
            "the agent's page /metrics, with names of projects",
            page("/metrics"),
        ),
        (
            "history.txt",
            "sizes of the history's files",
            history(&config.store),
        ),
        (
            "service.txt",
            "the state of the service",
            program::output(
                "systemctl",
                &[
                    "show",
                    "gotrace",
                    "--no-pager",
                    "--property=Version,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,MemoryCurrent,FragmentPath,DropInPaths",
                ],
                PATIENCE,
                LENGTH,
            ),
        ),
        (
            "journal.txt",
            "the last lines of the service's log",
            program::output(
                "journalctl",
                &[
                    "--unit=gotrace",
                    JOURNAL_LINES,
                    "--no-pager",
                    "--output=short-iso",
                    "--quiet",
                ],
                PATIENCE,
                LENGTH,
            ),
        ),
    ];
    let files = files.into_iter().map(|(name, content, text)| BundleFile {
        name,
        content,
        // The rules for lines would remove values after names such as `tls_key`.
        text: if name == CONFIG {
            text
        } else {
            redacted(&text)
        },
    });
    files.collect()
}

/// The text without secrets, line by line.
fn redacted(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.lines() {
        result.push_str(&String::from_utf8_lossy(&redact::text(line.as_bytes())));
        result.push('\n');
    }
    result
}

fn text(examination: &Examination) -> String {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail.
    let _written = super::text(examination, &Style::plain(WIDTH), &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json(examination: &Examination) -> String {
    let mut bytes = Vec::new();
    let _written = write_document(examination, Layout::Indented, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn config_text(values: &[EffectiveValue]) -> String {
    values.iter().fold(String::new(), |mut text, value| {
        let EffectiveValue { key, value, source } = value;
        let value = redacted(&value.to_string());
        let _written = writeln!(text, "{key} = {}  # {source}", value.trim_end());
        text
    })
}

fn page(agent: Option<&LocalAgent>, path: &str) -> String {
    let Some(agent) = agent else {
        return "the agent has no pages\n".to_owned();
    };
    match agent.get(path, PATIENCE, LENGTH) {
        Ok(Page { status, body }) => format!(
            "# {} answered with status {status}\n{}",
            agent.url(path),
            String::from_utf8_lossy(&body)
        ),
        Err(error) => format!("no answer from {}: {error}\n", agent.url(path)),
    }
}

fn kernel() -> String {
    let uname = rustix::system::uname();
    let [release, version, machine] = [uname.release(), uname.version(), uname.machine()]
        .map(|it| it.to_string_lossy().into_owned());
    let btf = match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(btf) => format!("{} bytes", btf.len()),
        Err(error) => error.to_string(),
    };
    let mut text = format!(
        "release: {release}\nversion: {version}\nmachine: {machine}\n/sys/kernel/btf/vmlinux: {btf}\n"
    );
    for path in [
        "/proc/sys/kernel/unprivileged_bpf_disabled",
        "/proc/sys/kernel/perf_event_paranoid",
        "/proc/sys/kernel/kptr_restrict",
        "/proc/sys/kernel/yama/ptrace_scope",
        "/proc/sys/net/core/bpf_jit_enable",
        "/sys/kernel/security/lockdown",
        "/sys/kernel/security/lsm",
    ] {
        let value = read(path);
        let _written = writeln!(text, "{path}: {}", value.trim_end());
    }
    let (path, options) = options(&release);
    let _written = writeln!(text, "\noptions in {path}:");
    text + &options
}

/// The file of the kernel's options, and the lines that matter.
fn options(release: &str) -> (String, String) {
    let boot = format!("/boot/config-{release}");
    let packed = fs::File::open("/proc/config.gz");
    let all = match packed {
        Ok(packed) => std::io::read_to_string(flate2::read::GzDecoder::new(packed)),
        Err(_) => fs::read_to_string(&boot),
    };
    let path = if Path::new("/proc/config.gz").exists() {
        "/proc/config.gz".to_owned()
    } else {
        boot
    };
    match all {
        Ok(all) => {
            let matters = |line: &&str| {
                let option = line.trim_start_matches("# ");
                OPTIONS.iter().any(|it| option.starts_with(it))
            };
            let lines: String = all
                .lines()
                .filter(matters)
                .flat_map(|it| [it, "\n"])
                .collect();
            (path, lines)
        }
        Err(error) => (path, format!("not known: {error}\n")),
    }
}

/// A small file of the system.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("{error}\n"))
}

/// Names, sizes and times of the files of the history.
fn history(store: &Path) -> String {
    let (Some(dir), Some(name)) = (store.parent(), store.file_name()) else {
        return format!("{} is no path of a history\n", store.display());
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return format!("cannot read {}: {error}\n", dir.display()),
    };
    let name = name.to_string_lossy();
    let mut lines: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|it| it.file_name().to_string_lossy().starts_with(&*name))
        .map(|it| match it.metadata() {
            Ok(stat) => format!(
                "{}: {} bytes, mode {:o}, user {}, changed {}\n",
                it.path().display(),
                stat.len(),
                stat.mode() & 0o7777,
                stat.uid(),
                date(stat.mtime().saturating_mul(1_000_000_000))
            ),
            Err(error) => format!("{}: {error}\n", it.path().display()),
        })
        .collect();
    lines.sort();
    if let Ok(space) = rustix::fs::statvfs(dir) {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        lines.push(format!("{free} bytes free in {}\n", dir.display()));
    }
    lines.concat()
}

/// The name of the directory in the archive.
pub(super) fn directory(wall_ns: i64) -> String {
    let time: String = rfc3339(wall_ns)
        .chars()
        .take(19)
        .filter(|it| *it != ':' && *it != '-')
        .collect();
    format!("gotrace-{time}")
}
